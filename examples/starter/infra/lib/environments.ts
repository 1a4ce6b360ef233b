/** Where an environment is. The names and accounts are those of slipway.yaml. */
export interface Environment {
  readonly name: string;
  readonly account: string;
  readonly region: string;
  /** The Name tag of the VPC that the agent runs in: looked up once, and kept in cdk.context.json. */
  readonly vpcName: string;
  /** A named endpoint: it moves only when Slipway has verified a version. */
  readonly endpoint?: string;
  /** Deploy roles of other accounts that promote from here. `slipway bootstrap` names them so. */
  readonly pulledBy?: readonly string[];
}

/** Names what belongs to the agent; SSM parameters begin with it. */
export const agentName = 'customerServiceAgent';

export const environments: readonly Environment[] = [
  { name: 'dev', account: '111122223333', region: 'us-east-1', vpcName: 'agents' },
  {
    name: 'stg',
    account: '111122223333',
    region: 'us-east-1',
    vpcName: 'agents',
    pulledBy: ['arn:aws:iam::444455556666:role/slipway-agents-prd'],
  },
  { name: 'prd', account: '444455556666', region: 'us-east-1', vpcName: 'agents', endpoint: 'live' },
];
