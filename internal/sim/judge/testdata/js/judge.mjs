// Has AWS's SDK for JavaScript call every operation that the local cloud
// serves. Where the cloud is and who calls is in the environment, as for any
// program: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID … Besides:
//
//   JUDGE_TOKEN  a job's token, of acme/agents, environment dev
//   JUDGE_IMAGE  an agent's image in the repository judge/agent, by digest
//
// One row for each call: add an operation where its service's are.

import agentcore from './agentcore.mjs';
import ecr from './ecr.mjs';
import { identity, withoutKeys } from './identity.mjs';
import managed from './managed.mjs';
import ssm from './ssm.mjs';

for (const judgement of [identity, managed, withoutKeys, ecr, ssm, agentcore]) {
  try {
    await judgement(process.env);
  } catch (err) {
    console.error(err);
    process.exitCode = 1;
  }
}
