package doctor

// checkCredentials is the check that opens the session of the others.
const checkCredentials = "credentials"

// checks lists them all, in the order in which a person would ask.
func checks() []check {
	return []check{
		{"settings", groupProject, nobody, settings},

		{"keys", groupMachine, nobody, keys},
		{"proxy", groupMachine, nobody, proxy},
		{"engine", groupMachine, nobody, engine},

		{"commit", groupTree, nobody, commit},
		{"build-context", groupTree, nobody, buildContext},
		{"cdk-context", groupTree, nobody, cdkContext},
		{checkSynth, groupTree, nobody, cdkSynth},
		{"cdk-image", groupTree, nobody, cdkImage},

		{"token", groupAccess, atGitHub, token},
		{checkCredentials, groupAccess, inAWS, credentials},
		{"clock", groupAccess, inAWS, clock},
		{"provider", groupAccess, inAWS, provider},
		{"trust", groupAccess, inAWS, trusted},
		{"trust-audit", groupAccess, inAWS, trustAudit},
		{"session", groupAccess, inAWS, session},

		{"permissions", groupPermissions, inAWS, permissions},
		{"pass-role", groupPermissions, inAWS, passRole},
		{"policy-audit", groupPermissions, inAWS, policyAudit},

		{"ecr-repository", groupImages, inAWS, repository},
		{"ecr-lifecycle", groupImages, inAWS, lifecycle},
		{"image", groupImages, inAWS, image},

		{"runtime-id", groupRuntime, inAWS, runtimeID},
		{"runtime", groupRuntime, inAWS, runtime},
		{"endpoint", groupRuntime, inAWS, endpoint},
		{"record", groupRuntime, inAWS, record},
		{"execution-role", groupRuntime, inAWS, executionRole},
		{"network", groupRuntime, inAWS, network},

		{"github-repository", groupGitHub, atGitHub, hubRepository},
		{"github-environment", groupGitHub, atGitHub, hubEnvironment},
		{"github-variables", groupGitHub, atGitHub, hubVariables},
	}
}
