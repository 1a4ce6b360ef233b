package trust

import "slices"

// PolicyRules are the rules for permission policies, boundaries, execution
// trusts and repository policies.
func PolicyRules() []Rule {
	const broken = true
	return []Rule{
		{"policy/pass-role-any", SeverityError, false, "may pass any role: whatever a role may do, a runtime under it may",
			"name the execution role as the Resource of iam:PassRole"},
		{"policy/pass-role-unscoped", SeverityError, false, "may pass a role to any service: to one that runs code of the caller's",
			`add the condition "StringEquals": {"iam:PassedToService": "bedrock-agentcore.amazonaws.com"}`},
		{"policy/passed-to-any-service", SeverityError, false, "may pass a role to services by pattern",
			`write "iam:PassedToService": "bedrock-agentcore.amazonaws.com" out`},
		{"policy/runtime-escalation", SeverityError, false, "may change a runtime and pass any role: runs its code as any role that AgentCore may assume",
			"name the execution role as the Resource of iam:PassRole, and the runtime as that of the update"},
		{"policy/unknown-prefix", SeverityError, broken, "an action whose prefix is no service of IAM's: it grants nothing",
			"write the prefix as the Service Authorization Reference has it: bedrock-agentcore"},
		{"policy/all-repositories", SeverityError, false, "may push to any repository", "name the environment's repository as the Resource"},
		{"policy/repository-control", SeverityError, false, "may change the rules of a repository or delete from it: tags and rollbacks can't be trusted",
			"take the actions out: an administrator sets repositories up"},
		{"policy/all-parameters", SeverityError, false, "may read any parameter, secrets of others among them", "name parameter/AGENT/ENVIRONMENT/* as the Resource"},
		{"policy/assume-any", SeverityError, false, "may assume any role that lets it", "take sts:AssumeRole out: a delivery assumes its role by a token, once"},
		{"policy/self-change", SeverityError, false, "may change its own permissions or who may assume it", "take the actions out: an administrator changes roles"},
		{"policy/service-linked-role", SeverityWarning, false, "may create service-linked roles", "take the action out: they are made once, by an administrator"},
		{"policy/managed-admin", SeverityError, false, "may do nearly anything: a policy made for administrators",
			"detach it, and give the role what deliveries need"},
		{"policy/mixed-environments", SeverityError, false, "reaches two environments: who deploys to one deploys to the other",
			"give each environment a role of its own; pulling from the repository promoted from may stay"},
		{"policy/agentcore-excess", SeverityError, false, "may act on AgentCore beyond deliveries: as a user, in a session's shell, or in any way there is",
			"list the actions that deliveries need"},
		{"policy/allow-not", SeverityError, false, "allows all but what it names: what AWS adds tomorrow too", "list what is allowed, under Action and Resource"},
		{"policy/no-boundary", SeverityWarning, false, "the role has no permissions boundary: a policy attached by mistake counts at once",
			"give the role a boundary"},
		{"policy/confused-deputy", SeverityError, false, "the service may assume the role on behalf of another account",
			"add the conditions aws:SourceAccount (StringEquals) and aws:SourceArn (ArnLike)"},
		{"policy/shared-execution-role", SeverityError, false, "others than AgentCore may assume the execution role", "give them a role of their own"},
		{"policy/source-arn-too-narrow", SeverityError, broken, "trusts one runtime, which can't be made before it may assume the role",
			"write aws:SourceArn as arn:aws:bedrock-agentcore:REGION:ACCOUNT:*"},
		{"policy/same-role", SeverityError, false, "deploy role and execution role are one: an agent may deploy, a pipeline may act as the agent",
			"give the agents a role of their own"},
		{"policy/for-all-values", SeverityError, false, "ForAllValues also holds where the key is absent", `add "Null": {"KEY": "false"}`},
		{"policy/foreign-push", SeverityError, false, "another account may push to the repository", "let other accounts pull alone"},
		{"policy/duplicate-key", SeverityError, false, "a JSON key twice: the last counts, and what the first says is lost", "join both under one key"},
	}
}

func policyRule(id string) Rule {
	rules := PolicyRules()
	return rules[slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })]
}
