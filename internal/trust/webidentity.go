package trust

import "strings"

// GitHubIssuer is the issuer of tokens of GitHub Actions on github.com.
// Enterprises may have a path of their own below it.
const GitHubIssuer = "https://token.actions.githubusercontent.com"

// AssumeWithWebIdentity is the action that a trust policy is asked for when a
// token is exchanged.
const AssumeWithWebIdentity = "sts:AssumeRoleWithWebIdentity"

// GitHubKeys are the claims of GitHub's tokens that AWS has made condition
// keys, beside sub and aud, which every issuer has. Any other claim is absent
// from the request, whatever the token says.
func GitHubKeys() []string {
	return []string{"actor", "actor_id", "job_workflow_ref", "repository", "repository_id", "workflow", "ref", "environment", "enterprise_id"}
}

// claimsOf lists the claims that are condition keys for an issuer's tokens.
func claimsOf(issuer string) []string {
	claims := []string{"sub", "aud"}
	if issuer == GitHubIssuer || strings.HasPrefix(issuer, GitHubIssuer+"/") {
		claims = append(claims, GitHubKeys()...)
	}
	return claims
}

// ProviderARN names the provider of an issuer (https://…) in an account.
func ProviderARN(account, issuer string) string {
	return "arn:aws:iam::" + account + ":oidc-provider/" + strings.TrimPrefix(issuer, "https://")
}

// WebIdentity is the request that STS asks a role's trust policy about for a
// token of issuer with these claims, aud being the audience in effect. provider
// is the ARN of the issuer's provider in the role's account.
func WebIdentity(provider, issuer string, claims map[string]string) Request {
	context := make(map[string][]string)
	for _, key := range claimsOf(issuer) {
		if value, ok := claims[key]; ok {
			context[strings.TrimPrefix(issuer, "https://")+":"+key] = []string{value}
		}
	}
	return Request{Principal: Principal{Kind: Federated, Value: provider}, Action: AssumeWithWebIdentity, Context: context}
}
