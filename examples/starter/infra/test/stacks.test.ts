import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import * as cdk from 'aws-cdk-lib/core';
import { Match, Template } from 'aws-cdk-lib/assertions';

import { AgentCoreStack } from '../lib/agentcore-stack';
import { BaseStack } from '../lib/base-stack';
import { Environment, environments } from '../lib/environments';

// What was looked up is read as the cdk command reads it; npm runs tests where it is.
const context = JSON.parse(readFileSync(join(process.cwd(), 'cdk.context.json'), 'utf8'));

interface Synthesised {
  base: Template;
  agent: Template;
  missing: unknown;
}

const synthesised = new Map<Environment, Synthesised>(); // each takes a second

function synth(environment: Environment): Synthesised {
  const before = synthesised.get(environment);
  if (before) {
    return before;
  }
  const app = new cdk.App({ context });
  const base = new BaseStack(app, 'Base', environment);
  const agent = new AgentCoreStack(app, 'Agent', environment, base);
  const done = {
    base: Template.fromStack(base),
    agent: Template.fromStack(agent),
    missing: app.synth().manifest.missing,
  };
  synthesised.set(environment, done);
  return done;
}

function named(name: string) {
  return environments.find((environment) => environment.name === name)!;
}

describe.each(environments)('$name', (environment) => {
  const { base, agent, missing } = synth(environment);

  test('everything was looked up', () => {
    expect(missing).toBeUndefined();
  });

  test('the image is the delivered one, and not ours to write', () => {
    const uri = `/customerServiceAgent/${environment.name}/image-uri`;
    const parameters = agent.findParameters('*', { Type: 'AWS::SSM::Parameter::Value<String>', Default: uri });
    expect(Object.keys(parameters)).toHaveLength(1);
    agent.hasResourceProperties('AWS::BedrockAgentCore::Runtime', {
      AgentRuntimeName: `customerServiceAgent_${environment.name}`,
      AgentRuntimeArtifact: { ContainerConfiguration: { ContainerUri: { Ref: Object.keys(parameters)[0] } } },
    });
    agent.resourceCountIs('AWS::SSM::Parameter', 1);
    agent.hasResourceProperties('AWS::SSM::Parameter', {
      Name: `/customerServiceAgent/${environment.name}/runtime-id`,
    });
  });

  test('the runtime is in the VPC that was looked up', () => {
    const [id, subnets] = lookedUp(environment);
    base.hasResourceProperties('AWS::EC2::SecurityGroup', {
      VpcId: id,
      SecurityGroupEgress: [Match.objectLike({ IpProtocol: 'tcp', FromPort: 443, ToPort: 443 })],
      SecurityGroupIngress: Match.absent(),
    });
    agent.hasResourceProperties('AWS::BedrockAgentCore::Runtime', {
      NetworkConfiguration: { NetworkMode: 'VPC', NetworkModeConfig: { Subnets: subnets } },
    });
  });

  test('AgentCore takes the role for this account alone', () => {
    base.resourceCountIs('AWS::IAM::Role', 1);
    base.hasResourceProperties('AWS::IAM::Role', {
      RoleName: `customerServiceAgentExecutionRole-${environment.name}`,
      AssumeRolePolicyDocument: {
        Statement: [
          {
            Action: 'sts:AssumeRole',
            Effect: 'Allow',
            Principal: { Service: 'bedrock-agentcore.amazonaws.com' },
            Condition: {
              StringEquals: { 'aws:SourceAccount': environment.account },
              ArnLike: Match.anyValue(),
            },
          },
        ],
      },
    });
  });

  test('the role may do nothing whole', () => {
    const [policy] = Object.values(base.findResources('AWS::IAM::Policy'));
    const statements: { Sid: string; Action: string | string[]; Resource: unknown }[] =
      policy.Properties.PolicyDocument.Statement;
    for (const { Action } of statements) {
      expect([Action].flat().filter((action) => action.includes('*'))).toEqual([]);
    }
    // What takes no resource, by the Service Authorization Reference.
    const onAll = statements.filter(({ Resource }) => Resource === '*').map(({ Sid }) => Sid);
    expect(onAll).toEqual(['EcrLogin', 'Trace', 'PutMetrics']);
  });

  test('tags of revisions never move', () => {
    base.hasResource('AWS::ECR::Repository', {
      DeletionPolicy: 'Retain',
      Properties: {
        RepositoryName: `customerserviceagent/runtime-${environment.name}`,
        ImageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
        ImageTagMutabilityExclusionFilters: [
          { ImageTagMutabilityExclusionFilterType: 'WILDCARD', ImageTagMutabilityExclusionFilterValue: 'latest' },
        ],
      },
    });
  });

  test('outputs', () => {
    for (const name of ['ExecutionRoleArn', 'RepositoryUri', 'SecurityGroupId', 'SubnetIds']) {
      base.hasOutput(name, {});
    }
    agent.hasOutput('RuntimeArn', {});
  });
});

/** The VPC and the subnets that cdk.context.json has for an environment. */
function lookedUp({ account, region }: Environment): [string, string[]] {
  const key = Object.keys(context).find(
    (name) => name.startsWith(`vpc-provider:account=${account}:`) && name.includes(`:region=${region}:`),
  )!;
  const { vpcId, subnetGroups } = context[key];
  return [vpcId, subnetGroups[0].subnets.map(({ subnetId }: { subnetId: string }) => subnetId)];
}

test('live is in prd alone, and no deployment of the stack moves it', () => {
  synth(named('prd')).agent.hasResourceProperties('AWS::BedrockAgentCore::RuntimeEndpoint', {
    Name: 'live',
    AgentRuntimeVersion: Match.absent(),
  });
  synth(named('dev')).agent.resourceCountIs('AWS::BedrockAgentCore::RuntimeEndpoint', 0);
});

test('the deploy role of prd pulls from stg, and nobody from dev', () => {
  synth(named('stg')).base.hasResourceProperties('AWS::ECR::Repository', {
    RepositoryPolicyText: {
      Statement: [
        Match.objectLike({
          Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
          Condition: { ArnEquals: { 'aws:PrincipalArn': ['arn:aws:iam::444455556666:role/slipway-agents-prd'] } },
        }),
      ],
    },
  });
  synth(named('dev')).base.hasResourceProperties('AWS::ECR::Repository', { RepositoryPolicyText: Match.absent() });
});

test('a lookup that was not kept is told', () => {
  jest.spyOn(console, 'error').mockImplementation(); // CDK says that the VPC it makes up has no valid id
  const app = new cdk.App({ context });
  new BaseStack(app, 'Base', { ...named('dev'), account: '999988887777' });
  expect(app.synth().manifest.missing).toMatchObject([{ provider: 'vpc-provider' }]);
});
