package agentcore

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	maxTries    = 5
	backoffBase = 200 * time.Millisecond
	maxBackoff  = 10 * time.Second
	// maxRetryAfter bounds what a Retry-After header may ask for.
	maxRetryAfter = 30 * time.Second
)

// refusal is a remote error with what the answer said of trying again.
type refusal struct {
	*delivery.RemoteError
	after time.Duration
}

// Unwrap returns the remote error that callers match.
func (r *refusal) Unwrap() error { return r.RemoteError }

// retry runs attempt until it succeeds, up to the request's number of tries,
// while another one may help. It waits with full jitter, or for what
// Retry-After asks plus that jitter. Expired credentials are replaced once.
func (c *Client) retry(ctx context.Context, r *request, attempt func(context.Context) error) error {
	tries := r.tries
	if tries == 0 {
		tries = maxTries
	}
	for try := 1; ; try++ {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		after, again := r.retryable(err)
		if errors.Is(err, delivery.ErrExpired) {
			again = c.Renew != nil && r.bearer == "" && c.Renew()
		}
		if !again || try == tries || sleep(ctx, after+jitter(try)) != nil {
			return plain(err)
		}
	}
}

// retryable says whether sending the request again may help, and how long the
// remote asks to wait before.
func (r *request) retryable(err error) (time.Duration, bool) {
	var refused *refusal
	if errors.As(err, &refused) {
		again := r.again
		if again == nil {
			again = r.transient
		}
		return refused.after, again(refused.RemoteError)
	}
	var silent *unansweredError
	if errors.As(err, &silent) && !errors.Is(err, context.Canceled) {
		return 0, r.repeat || !silent.sent
	}
	return 0, false
}

// transient is the rule for all calls: throttling and AgentCore's own
// "retryable conflict" were never acted on; a 5xx may have been.
func (r *request) transient(e *delivery.RemoteError) bool {
	if e.Code == "RetryableConflictException" || errors.Is(e, delivery.ErrThrottled) {
		return true
	}
	return e.Status >= http.StatusInternalServerError && r.repeat
}

// plain drops the retry information: callers see the remote error itself.
func plain(err error) error {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.RemoteError
	}
	return err
}

func jitter(try int) time.Duration {
	return rand.N(min(backoffBase<<try, maxBackoff))
}

// retryAfter reads the header, in seconds or as a date.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
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
