// Asks cloud-copilot's IAM evaluator about policies and requests. One question a
// line on stdin, one answer a line on stdout: allow, deny (by a Deny) or none.
//
//   {"identity": [DOCUMENT], "boundary": DOCUMENT, "trust": DOCUMENT,
//    "principal": "…", "action": "…", "resource": "…", "context": {KEY: VALUE}}
//
// Documents are JSON texts, read as JavaScript reads them: the last of repeated
// keys counts. A question has identity policies, or a trust policy. Whether keys
// and actions exist is not asked: the evaluator's own lists lack GitHub's claims
// under issuers with a path, and AgentCore's newest actions.

import { createInterface } from 'node:readline';
import { createValidatedPolicy } from '@cloud-copilot/iam-policy';
import { runUnsafeSimulation } from '@cloud-copilot/iam-simulate';

const answers = { Allowed: 'allow', ExplicitlyDenied: 'deny', ImplicitlyDenied: 'none' };

const named = (name) => (document) => ({ name, policy: JSON.parse(document) });

// A resource policy wants a name, and takes it from a policy validated before.
const resourcePolicy = (document) => createValidatedPolicy(JSON.parse(document), () => [], { name: 'trust' });

function ask({ identity, boundary, trust, principal, action, resource, context }) {
  return runUnsafeSimulation(
    {
      request: {
        principal,
        action,
        resource: { resource, accountId: resource.split(':')[4] || '123456789012' },
        contextVariables: context,
      },
      identityPolicies: (identity ?? []).map(named('identity')),
      permissionBoundaryPolicies: boundary ? [named('boundary')(boundary)] : undefined,
      resourcePolicy: trust ? resourcePolicy(trust) : undefined,
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  );
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(answers[ask(JSON.parse(line))]);
  } catch (err) {
    console.log(`failed: ${err.message}`);
  }
}
