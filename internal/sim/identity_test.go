package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"
)

// gitHubTrust is a role's trust in GitHub, for one subject.
func gitHubTrust(account, subject string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
		"Principal":{"Federated":"arn:aws:iam::` + account + `:oidc-provider/token.actions.githubusercontent.com"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{
		"token.actions.githubusercontent.com:aud":"sts.amazonaws.com",
		"token.actions.githubusercontent.com:sub":"` + subject + `"}}}]}`
}

// registerGitHub makes the provider and a role that trusts subject, as an
// administrator does, and returns the role's ARN.
func registerGitHub(t testing.TB, srv *httptest.Server, account, roleName, subject string) string {
	t.Helper()
	client := iam.NewFromConfig(adminConfig(t, srv, account))
	_, err := client.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String(Issuer), ClientIDList: []string{"sts.amazonaws.com"}})
	if err != nil && errorCode(err) != "EntityAlreadyExists" {
		t.Fatal(err)
	}
	out, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: &roleName, AssumeRolePolicyDocument: aws.String(gitHubTrust(account, subject))})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Role.Arn
}

// errorCode is the service's code of an SDK's error, "" for none.
func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// wantFault fails the test unless err is the service's error with that code,
// status and part of a message.
func wantFault(t testing.TB, err error, code string, status int, message string) {
	t.Helper()
	var response interface{ HTTPStatusCode() int }
	if errorCode(err) != code || !errors.As(err, &response) || response.HTTPStatusCode() != status || !strings.Contains(err.Error(), message) {
		t.Errorf("got %v, want %s %d with %q", err, code, status, message)
	}
}

// control calls the control API and decodes the answer into out.
func control(t testing.TB, srv *httptest.Server, method, path, body string, out any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/_local/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+srv.Config.Handler.(*Cloud).ControlToken())
	status, raw := send(t, r)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, status, raw)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			t.Fatal(err)
		}
	}
}

// jobEnv starts a job by the control API and returns what it sees.
func jobEnv(t testing.TB, srv *httptest.Server, body string) map[string]string {
	t.Helper()
	var s JobState
	control(t, srv, "POST", "jobs", body, &s)
	return s.Environ
}

func send(t testing.TB, r *http.Request) (int, []byte) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, raw
}

// mint asks for a token as a job does.
func mint(t testing.TB, env map[string]string, audience string) string {
	t.Helper()
	url := env["ACTIONS_ID_TOKEN_REQUEST_URL"]
	if audience != "" {
		url += "&audience=" + audience
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "bearer "+env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	status, raw := send(t, r)
	var answer struct{ Value string }
	if err := json.Unmarshal(raw, &answer); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, raw)
	}
	return answer.Value
}

// exchangeToken asks STS for a session with a token, without any signature.
func exchangeToken(ctx context.Context, srv *httptest.Server, roleARN, token string, change func(*sts.AssumeRoleWithWebIdentityInput)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	client := sts.New(sts.Options{Region: DefaultRegion, BaseEndpoint: &srv.URL, Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1})
	input := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &roleARN, RoleSessionName: aws.String("gh-1-1"), WebIdentityToken: &token}
	if change != nil {
		change(input)
	}
	return client.AssumeRoleWithWebIdentity(ctx, input)
}

func sessionConfig(srv *httptest.Server, out *sts.AssumeRoleWithWebIdentityOutput) aws.Config {
	c := out.Credentials
	return aws.Config{Region: "eu-west-1", BaseEndpoint: &srv.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)}
}

func TestJobGetsASessionAndNoKeys(t *testing.T) {
	c, srv := startCloud(t)
	role := registerGitHub(t, srv, DefaultAccount, "deploy", "repo:acme@1/agents@2:environment:dev")
	env := jobEnv(t, srv, `{"repository":"acme@1/agents@2","environment":"dev","ref":"refs/heads/main"}`)
	for name := range env {
		if strings.Contains(name, "KEY") || strings.Contains(name, "SECRET") {
			t.Errorf("a job is given %s", name)
		}
	}
	if env["AWS_ENDPOINT_URL_STS"] != srv.URL || env["GITHUB_REPOSITORY_ID"] != "2" || env["GITHUB_REF_NAME"] != "main" || env["AWS_REGION"] != DefaultRegion {
		t.Errorf("%v", env)
	}
	out, err := exchangeToken(t.Context(), srv, role, mint(t, env, "sts.amazonaws.com"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *out.SubjectFromWebIdentityToken != "repo:acme@1/agents@2:environment:dev" || *out.Audience != "sts.amazonaws.com" ||
		*out.Provider != "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" {
		t.Errorf("%+v", out)
	}
	if left := time.Until(*out.Credentials.Expiration); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the session lasts %s", left)
	}
	who, err := sts.NewFromConfig(sessionConfig(srv, out)).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *who.Arn != "arn:aws:sts::111122223333:assumed-role/deploy/gh-1-1" || *who.Account != DefaultAccount || *who.UserId != *out.AssumedRoleUser.AssumedRoleId {
		t.Errorf("%s %s %s", *who.Arn, *who.Account, *who.UserId)
	}
	var actions []string
	for _, call := range c.Journal() {
		actions = append(actions, call.Action+" "+call.Principal)
		if !call.Allowed || strings.Contains(call.Why, "eyJ") {
			t.Errorf("%+v", call)
		}
	}
	journal := strings.Join(actions, "\n")
	for _, want := range []string{"IssueIDToken repo:acme@1/agents@2:environment:dev", "AssumeRoleWithWebIdentity arn:aws:iam::111122223333:oidc-provider/"} {
		if !strings.Contains(journal, want) {
			t.Errorf("the journal lacks %q:\n%s", want, journal)
		}
	}
}

func TestSTSRefuses(t *testing.T) {
	c, srv := startCloud(t)
	role := registerGitHub(t, srv, DefaultAccount, "deploy", "repo:acme@1/agents@2:environment:dev")
	token := func(job string, audience string) string {
		var answer struct{ Value string }
		control(t, srv, "POST", "token", `{"job":`+job+`,"audience":"`+audience+`"}`, &answer)
		return answer.Value
	}
	good := token(`{"repository":"acme@1/agents@2","environment":"dev"}`, "sts.amazonaws.com")
	duration := func(seconds int32) func(*sts.AssumeRoleWithWebIdentityInput) {
		return func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = &seconds }
	}
	session := func(name string) func(*sts.AssumeRoleWithWebIdentityInput) {
		return func(in *sts.AssumeRoleWithWebIdentityInput) { in.RoleSessionName = &name }
	}
	denied := "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	tests := []struct {
		name, role, token string
		change            func(*sts.AssumeRoleWithWebIdentityInput)
		code              string
		status            int
		message           string
	}{
		{"another repository", role, token(`{"repository":"evil@6/agents@7","environment":"dev"}`, "sts.amazonaws.com"), nil, "AccessDenied", 403, denied},
		{"the name form", role, token(`{"repository":"acme/agents","environment":"dev"}`, "sts.amazonaws.com"), nil, "AccessDenied", 403, denied},
		{"another environment", role, token(`{"repository":"acme@1/agents@2","environment":"prd"}`, "sts.amazonaws.com"), nil, "AccessDenied", 403, denied},
		{"a role that is not there", role + "x", good, nil, "AccessDenied", 403, denied},
		{"a role of another case", strings.Replace(role, "deploy", "Deploy", 1), good, nil, "AccessDenied", 403, denied},
		{"a role on another path", strings.Replace(role, "deploy", "p/deploy", 1), good, nil, "AccessDenied", 403, denied},
		{"garbage, for no role", role + "x", "garbage", nil, "InvalidIdentityToken", 400, "not a valid JWT"},
		{"default audience", role, token(`{"repository":"acme@1/agents@2","environment":"dev"}`, ""), nil, "InvalidIdentityToken", 400, "Incorrect token audience"},
		{"an account with no provider", strings.Replace(role, DefaultAccount, "444455556666", 1), good, nil, "InvalidIdentityToken", 400, "No OpenIDConnect provider found in your account for https://token.actions"},
		{"longer than the role's maximum", role, good, duration(7200), "ValidationError", 400, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"too short a duration", role, good, duration(899), "ValidationError", 400, "greater than or equal to 900"},
		{"too long a duration", role, good, duration(43201), "ValidationError", 400, "less than or equal to 43200"},
		{"too short a session name", role, good, session("a"), "ValidationError", 400, "roleSessionName"},
		{"a space in the session name", role, good, session("a b"), "ValidationError", 400, "regular expression"},
		{"no role", "arn:aws:iam::111122223333:user/deploy", good, nil, "ValidationError", 400, "is invalid"},
		{"too long a token", role, strings.Repeat("a", 20001), nil, "ValidationError", 400, "webIdentityToken"},
		{"a bad session policy", role, good, func(in *sts.AssumeRoleWithWebIdentityInput) { in.Policy = aws.String(`{}`) }, "MalformedPolicyDocument", 400, "Statement"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := exchangeToken(t.Context(), srv, tt.role, tt.token, tt.change)
			wantFault(t, err, tt.code, tt.status, tt.message)
		})
	}
	why := ""
	for _, call := range c.Journal() {
		why += call.Why + "\n"
	}
	if !strings.Contains(why, `StringEquals token.actions.githubusercontent.com:sub wants ["repo:acme@1/agents@2:environment:dev"], got ["repo:evil@6/agents@7:environment:dev"]`) {
		t.Errorf("the journal does not say which condition failed:\n%s", why)
	}
	if strings.Contains(why, good) {
		t.Error("the journal holds a token")
	}
	if _, err := exchangeToken(t.Context(), srv, role, good, nil); err != nil {
		t.Error(err)
	}
	if _, err := exchangeToken(t.Context(), srv, role, good, nil); err != nil {
		t.Errorf("replay: %v", err)
	}
}

func TestCorpusTokensAtSTS(t *testing.T) {
	tokens, now, keySet, trustPolicy := corpusTokens(t)
	clock := time.Now()
	c := &Cloud{Dir: t.TempDir(), Now: func() time.Time { return clock }}
	srv := serveCloud(t, c)
	role := registerGitHub(t, srv, corpusAccount, "deploy", corpusSubject)
	_, err := iam.NewFromConfig(adminConfig(t, srv, corpusAccount)).UpdateAssumeRolePolicy(t.Context(),
		&iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("deploy"), PolicyDocument: aws.String(string(trustPolicy))})
	if err != nil {
		t.Fatal(err)
	}
	clock, c.identity.keys = now, jose.JSONWebKeySet{}
	if err := json.Unmarshal(keySet, &c.identity.keys); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tokens {
		out, err := exchangeToken(t.Context(), srv, role, tt.Token, nil)
		if code := errorCode(err); code != tt.Error || err != nil && !strings.Contains(err.Error(), tt.Message) {
			t.Errorf("%s %s: got %v, want %s %s", tt.ID, tt.Title, err, tt.Error, tt.Message)
		}
		if err == nil && *out.SubjectFromWebIdentityToken != tt.Sub {
			t.Errorf("%s: sub %q", tt.ID, *out.SubjectFromWebIdentityToken)
		}
	}
}
