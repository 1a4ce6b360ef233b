import * as cdk from 'aws-cdk-lib/core';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';

import { BaseStack } from './base-stack';
import { agentName, Environment } from './environments';

/**
 * The runtime. Its image is the one that Slipway delivered last: Slipway writes
 * the address, by digest, into a parameter, and CloudFormation reads it with
 * each deployment. A deployment of this stack therefore never undoes a delivery.
 *
 * All else of the runtime is this stack's; Slipway carries it unchanged.
 */
export class AgentCoreStack extends cdk.Stack {
  constructor(scope: Construct, id: string, environment: Environment, base: BaseStack) {
    super(scope, id, { env: { account: environment.account, region: environment.region } });
    const parameter = (name: string) => `/${agentName}/${environment.name}/${name}`;

    const runtime = new agentcore.CfnRuntime(this, 'Runtime', {
      agentRuntimeName: `${agentName}_${environment.name}`,
      agentRuntimeArtifact: {
        containerConfiguration: {
          // Not a parameter of this stack: Slipway is its one owner.
          containerUri: ssm.StringParameter.valueForStringParameter(this, parameter('image-uri')),
        },
      },
      roleArn: base.executionRole.roleArn,
      networkConfiguration: {
        networkMode: 'VPC',
        networkModeConfig: { securityGroups: [base.securityGroup.securityGroupId], subnets: base.subnetIds },
      },
      protocolConfiguration: 'HTTP',
      lifecycleConfiguration: { idleRuntimeSessionTimeout: 900, maxLifetime: 28800 },
      environmentVariables: { ENVIRONMENT: environment.name, LOG_LEVEL: 'INFO' },
    });
    const runtimeId = new ssm.StringParameter(this, 'RuntimeId', {
      parameterName: parameter('runtime-id'),
      stringValue: runtime.attrAgentRuntimeId,
    });
    if (environment.endpoint) {
      // No version: it begins at the newest one, and from then on Slipway moves it.
      new agentcore.CfnRuntimeEndpoint(this, 'Endpoint', {
        agentRuntimeId: runtime.attrAgentRuntimeId,
        name: environment.endpoint,
      });
    }

    new cdk.CfnOutput(this, 'RuntimeArn', { value: runtime.attrAgentRuntimeArn });
    new cdk.CfnOutput(this, 'RuntimeIdParameter', { value: runtimeId.parameterName });
  }
}
