package agentcore

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/slipway-cd/slipway/internal/delivery"
)

var (
	_ delivery.Parameters = (*Parameters)(nil)
	_ delivery.Logs       = (*Logs)(nil)
)

// sdkBudget bounds a call through an SDK client with its retries.
const sdkBudget = 2 * time.Minute

// Parameters is SSM's Parameter Store. It implements delivery.Parameters.
type Parameters struct{ client *ssm.Client }

// NewParameters returns the Parameter Store of the configuration's account and
// region.
func NewParameters(cfg aws.Config) *Parameters {
	return &Parameters{client: ssm.NewFromConfig(cfg, func(o *ssm.Options) {
		// SSM says so where two writers meet; it did neither's second write.
		o.Retryer = retry.AddWithErrorCodes(o.Retryer, "TooManyUpdates")
	})}
}

// Parameter returns the value as it stands, or ErrNotFound. A SecureString is
// refused with ErrInvalid: what a delivery keeps here is no secret, and the
// value would be ciphertext.
func (p *Parameters) Parameter(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sdkBudget)
	defer cancel()
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	if err != nil {
		return "", sdkError("SSM", "GetParameter", name, err)
	}
	if out.Parameter == nil {
		return "", fmt.Errorf("SSM GetParameter %s: the answer holds no parameter", name)
	}
	if out.Parameter.Type == types.ParameterTypeSecureString {
		return "", fmt.Errorf("SSM GetParameter %s: it is a SecureString, want a String: %w", name, delivery.ErrInvalid)
	}
	return aws.ToString(out.Parameter.Value), nil
}

// Value returns a value that somebody else keeps, decrypted where it is a
// SecureString: secret says so. It returns ErrNotFound where there is none.
func (p *Parameters) Value(ctx context.Context, name string) (value string, secret bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sdkBudget)
	defer cancel()
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", false, sdkError("SSM", "GetParameter", name, err)
	}
	if out.Parameter == nil {
		return "", false, fmt.Errorf("SSM GetParameter %s: the answer holds no parameter", name)
	}
	return aws.ToString(out.Parameter.Value), out.Parameter.Type == types.ParameterTypeSecureString, nil
}

// historyPages bounds a history: SSM keeps 100 versions, and gives 50 at once.
const historyPages = 20

// History returns the values that a parameter has had and that SSM still
// keeps, oldest first, or ErrNotFound (SSM API: GetParameterHistory).
func (p *Parameters) History(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sdkBudget)
	defer cancel()
	var values []string
	in := &ssm.GetParameterHistoryInput{Name: aws.String(name), MaxResults: aws.Int32(50)}
	for range historyPages {
		out, err := p.client.GetParameterHistory(ctx, in)
		if err != nil {
			return nil, sdkError("SSM", "GetParameterHistory", name, err)
		}
		for _, v := range out.Parameters {
			values = append(values, aws.ToString(v.Value))
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return values, nil
		}
	}
	return nil, fmt.Errorf("SSM GetParameterHistory %s: it has no end", name)
}

// PutParameter writes the value as a String. Without overwrite it returns
// ErrExists where there is one; the value may be this call's own then, where
// an earlier attempt's answer was lost.
func (p *Parameters) PutParameter(ctx context.Context, name, value string, overwrite bool) error {
	ctx, cancel := context.WithTimeout(ctx, sdkBudget)
	defer cancel()
	_, err := p.client.PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(name), Value: aws.String(value), Type: types.ParameterTypeString, Overwrite: aws.Bool(overwrite)})
	if err != nil {
		return sdkError("SSM", "PutParameter", name, err)
	}
	return nil
}

// DeleteParameter removes the parameter, or returns ErrNotFound.
func (p *Parameters) DeleteParameter(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, sdkBudget)
	defer cancel()
	if _, err := p.client.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String(name)}); err != nil {
		return sdkError("SSM", "DeleteParameter", name, err)
	}
	return nil
}
