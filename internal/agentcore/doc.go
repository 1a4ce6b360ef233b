// Package agentcore speaks to Amazon Bedrock AgentCore: runtimes, versions
// and endpoints (Client), agents (Client.Invoke), their log lines (Logs), and
// the SSM parameters that name a runtime, its release and its lock
// (Parameters).
//
// The control plane is spoken as raw JSON, signed with SigV4: a typed Get and
// Update would drop members that the SDK has never heard of (docs/invariants,
// an update loses nothing). The package refuses to repeat what must not be
// repeated: a write without a client token, an invocation that may have
// reached the agent, a conflict, a quota. It decides nothing: which settings
// an update carries and what a status means is the core's.
package agentcore
