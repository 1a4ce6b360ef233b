import * as cdk from 'aws-cdk-lib/core';

import { AgentCoreStack } from '../lib/agentcore-stack';
import { BaseStack } from '../lib/base-stack';
import { environments } from '../lib/environments';

const app = new cdk.App();
for (const environment of environments) {
  const base = new BaseStack(app, `CustomerServiceAgentBaseStack-${environment.name}`, environment);
  new AgentCoreStack(app, `CustomerServiceAgentStack-${environment.name}`, environment, base);
}
