package awsauth

import (
	"context"
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	assumeTries    = 5
	assumeDeadline = 2 * time.Minute
	// backoffBase grows to 8 s: STS gives an issuer 5 s to hand out its keys,
	// and parallel jobs make it slow (security: section 2, flakiness).
	backoffBase = 500 * time.Millisecond
)

// webIdentity turns the job's OIDC token into temporary credentials.
type webIdentity struct {
	sts      *sts.Client // retries nothing by itself: each attempt needs a new token
	token    func(ctx context.Context, audience string) (string, error)
	claims   func(token string) (map[string]string, error)
	audience string
	role     string
	session  string
	duration time.Duration
	expect   Expect
}

// Retrieve asks for a token and for the role, again with a new token where STS
// says that this may help. It has a deadline of its own: the SDK's cache calls
// it without one.
func (w *webIdentity) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, assumeDeadline)
	defer cancel()
	expired := false
	for try := 1; ; try++ {
		token, err := w.token(ctx, w.audience)
		if err != nil {
			return aws.Credentials{}, err
		}
		creds, err := w.assume(ctx, token)
		if err == nil {
			return creds, nil
		}
		again := retryable(err)
		if errorCodeOf(err) == "ExpiredTokenException" && !expired {
			expired, again = true, true // it waited somewhere; a clock that is wrong stays wrong
		}
		if !again || try == assumeTries || sleep(ctx, jitter(try)) != nil {
			return aws.Credentials{}, w.explain(err, token)
		}
	}
}

func (w *webIdentity) assume(ctx context.Context, token string) (aws.Credentials, error) {
	out, err := w.sts.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn:          aws.String(w.role),
		RoleSessionName:  aws.String(w.session),
		WebIdentityToken: aws.String(token),
		DurationSeconds:  aws.Int32(int32(w.duration / time.Second)),
	})
	if err != nil {
		return aws.Credentials{}, remoteError("AssumeRoleWithWebIdentity", w.role, err)
	}
	c := out.Credentials
	if c == nil || aws.ToString(c.AccessKeyId) == "" || aws.ToString(c.SecretAccessKey) == "" || c.Expiration == nil {
		return aws.Credentials{}, errors.New("STS AssumeRoleWithWebIdentity: the answer holds no credentials")
	}
	return aws.Credentials{
		AccessKeyID:     aws.ToString(c.AccessKeyId),
		SecretAccessKey: aws.ToString(c.SecretAccessKey),
		SessionToken:    aws.ToString(c.SessionToken),
		Source:          "slipway: OIDC token of the GitHub job",
		CanExpire:       true,
		Expires:         *c.Expiration,
	}, nil
}

func errorCodeOf(err error) string {
	var remote *delivery.RemoteError
	if errors.As(err, &remote) {
		return remote.Code
	}
	return ""
}

// retryable is the table of security section 3: STS could not reach the
// issuer, or nobody reached STS. A denial stays a denial.
func retryable(err error) bool {
	var remote *delivery.RemoteError
	if !errors.As(err, &remote) {
		return unanswered(err)
	}
	switch remote.Code {
	case "IDPCommunicationError":
		return true
	case "InvalidIdentityToken":
		return keysUnreachable(remote)
	}
	return unanswered(err)
}

func keysUnreachable(remote *delivery.RemoteError) bool {
	return strings.Contains(remote.Message, "retrieve verification key")
}

var notInSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// sessionName is gh-<run id>-<attempt>: CloudTrail then names the run.
func sessionName(runID, attempt string) string {
	if runID == "" {
		return "slipway"
	}
	name := "gh-" + runID
	if attempt != "" {
		name += "-" + attempt
	}
	name = notInSessionName.ReplaceAllString(name, "-")
	return name[:min(len(name), 64)]
}

// jitter is full jitter over 1 s, 2 s, 4 s, ...
func jitter(try int) time.Duration {
	return rand.N(backoffBase << try)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
