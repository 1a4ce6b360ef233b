package awsauth

import (
	"context"
	"errors"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Clock returns AWS's time, as an answer of STS has it.
func (s *Session) Clock(ctx context.Context) (time.Time, error) {
	out, err := sts.NewFromConfig(s.Config(STS)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return time.Time{}, loginError("asking AWS for the time", remoteErrorUnlessOurs(err))
	}
	at, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok {
		return at, errors.New("STS GetCallerIdentity: the answer has no Date")
	}
	return at, nil
}
