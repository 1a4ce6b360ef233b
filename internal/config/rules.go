package config

import (
	"strings"
	"unicode/utf8"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// rule is what a string must look like. The limits are AWS's (facts 1.4 and
// 2) and GitHub's.
type rule struct {
	want     string // completes "must be …"
	pattern  *pattern.Pattern
	min, max int // characters; max 0 means no limit
}

// ok says whether text keeps the rule.
func (r rule) ok(text string) bool {
	n := utf8.RuneCountInString(text)
	if n < r.min || r.max > 0 && n > r.max {
		return false
	}
	return r.pattern == nil || r.pattern.MatchString(text)
}

func patternRule(want, expression string) rule {
	return rule{want: want, pattern: pattern.New(`^(?:` + expression + `)$`)}
}

func (r rule) length(least, most int) rule {
	r.min, r.max = least, most
	return r
}

var (
	accountRule = patternRule("a quoted string of 12 digits", `[0-9]{12}`)
	regionRule  = patternRule("an AWS region such as us-east-1", `[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}`)
	githubRule  = patternRule("owner/name, or owner@id/name@id",
		`[A-Za-z0-9][A-Za-z0-9_-]{0,99}(@[0-9]{1,20})?/[A-Za-z0-9._-]{1,100}(@[0-9]{1,20})?`)
	nameRule = patternRule("a letter followed by letters, digits, _ or - (47 characters at most)",
		`[A-Za-z][A-Za-z0-9_-]*`).length(1, 47)
	repositoryRule = patternRule("an ECR repository name: lower-case letters and digits in parts joined by . _ - or /",
		`[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`).length(2, 256)
	endpointRule = patternRule("a letter followed by up to 47 letters, digits or _", `[a-zA-Z][a-zA-Z0-9_]{0,47}`)
	roleRule     = patternRule("an IAM role ARN such as arn:aws:iam::111122223333:role/deploy-dev",
		`arn:aws(-[^:\s]+)?:iam::[0-9]{12}:role/[\x21-\x7e]+`).length(1, 2048)
	capacityRule = patternRule("the ARN of a capacity provider",
		`arn:aws(-[^:\s]+)?:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:[\x21-\x7e]+`).length(1, 2048)
	groupRule    = patternRule("a security group id such as sg-0123456789abcdef0", `sg-[0-9a-zA-Z]{8,17}`)
	subnetRule   = patternRule("a subnet id such as subnet-0123456789abcdef0", `subnet-[0-9a-zA-Z]{8,17}`)
	reviewerRule = patternRule("a GitHub user, or a team as organisation/team",
		`[A-Za-z0-9][A-Za-z0-9_-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99})?`)
	profileRule = patternRule("the name of an AWS profile", `[^\s\x00-\x1f]([^\x00-\x1f]*[^\s\x00-\x1f])?`)
	packageRule = patternRule("a Go package in the agent's path, such as . or ./cmd/agent", `\.|(\./)?[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*`)
	stageRule   = patternRule("the name of a stage: a letter followed by letters, digits and -_.", `[A-Za-z][A-Za-z0-9._-]*`).length(1, 128)
	secretRule  = patternRule("the id of a secret: letters, digits and -_.", `[A-Za-z0-9_][A-Za-z0-9._-]*`).length(1, 128)
	envRule     = patternRule("the name of an environment variable", `[A-Za-z_][A-Za-z0-9_]*`).length(1, 128)
	addressRule = patternRule("unix:///path or tcp://host:port", `unix:///[^\s]+|tcp://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}`)
	cacheRule   = patternRule("a cache in BuildKit's words, such as type=registry,ref=HOST/NAME:TAG", `[^\s\x00-\x1f-][^\x00-\x1f]*`)
	versionRule = patternRule("a Slipway version such as 0.3.1", `v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?`)
	urlRule     = patternRule("an https URL (plain http on loopback alone); it may hold {version}, {os} and {arch}",
		`https://[^\s/]+(/\S*)?|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?(/\S*)?`)
	pageRule     = patternRule("an https URL", `https://[!-~]+`).length(1, 2048)
	sha256Rule   = patternRule("a SHA-256 of 64 hex digits", `[0-9a-f]{64}`)
	platformRule = patternRule("a platform such as linux/amd64", `[a-z0-9]+/[a-z0-9]+`)

	discoveryRule = patternRule("an https URL that holds /.well-known/openid-configuration",
		`https://.+/\.well-known/(openid-configuration|oauth-authorization-server(/.*)?)`)
	scopeRule   = patternRule("an OAuth scope without spaces", `[\x21\x23-\x5B\x5D-\x7E]+`).length(1, 255)
	headerRule  = patternRule("a header name: a letter followed by letters, digits, _ or -", `[A-Za-z][A-Za-z0-9_-]{0,255}`)
	mountRule   = patternRule("a path such as /mnt/data", `/mnt/[a-zA-Z0-9._-]+/?`).length(6, 200)
	s3FilesRule = patternRule("the ARN of an S3 Files access point",
		`arn:aws[-a-z]*:s3files:[0-9a-z:-]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}`)
	efsRule = patternRule("the ARN of an EFS access point",
		`arn:aws[-a-z]*:elasticfilesystem:[0-9a-z:-]+:access-point/fsap-[0-9a-f]{8,40}`)
	portPathRule = patternRule("a path that begins with /", `/[\x21-\x7e]*`)
	variableRule = patternRule("a name of 1 to 100 characters without = or control characters", `[^=\x00-\x1f]+`).length(1, 100)
	anyText      = rule{want: "a string that is not empty", min: 1}
)

// branchProblem says why a text is not one branch, "" if it is. Wildcards
// are refused: a filter such as main* lets anyone who may push a branch in.
func branchProblem(text string) (message, hint string) {
	switch {
	case strings.ContainsAny(text, "*?[+!"):
		return "must be one branch, without wildcards", "anyone who may push a matching branch could deploy"
	case strings.HasPrefix(text, "refs/"):
		return "must be the branch's short name", "write main, not refs/heads/main"
	case !branchShape.MatchString(text), strings.Contains(text, ".."), strings.Contains(text, "//"),
		strings.Contains(text, "@{"), strings.HasSuffix(text, ".lock"), len(text) > 255:
		return "must be a branch name, not " + quote(text), ""
	}
	return "", ""
}

var branchShape = pattern.New(`^[^-/.\s\x00-\x1f\x7f~^:\\'"]([^\s\x00-\x1f\x7f~^:\\'"]*[^/.\s\x00-\x1f\x7f~^:\\'"])?$`)

// pathProblem says why a text is not a path inside the repository.
func pathProblem(text string) (message, hint string) {
	const want = "must be a relative path inside the repository"
	switch {
	case text == "", len(text) > 1024, strings.ContainsAny(text, "\x00\n\r"):
		return want, ""
	case strings.Contains(text, `\`):
		return want + ", with / between its parts", ""
	case strings.HasPrefix(text, "/"), strings.HasPrefix(text, "~"), len(text) > 1 && text[1] == ':':
		return want + ", not an absolute one", ""
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == ".." {
			return want + ", without ..", ""
		}
	}
	return "", ""
}
