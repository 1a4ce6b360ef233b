package agentcore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	logPage      = 10000 // the most that FilterLogEvents gives at once
	defaultLines = 1000
	maxLogPages  = 100
)

// Logs reads what agents print, from CloudWatch Logs. It implements
// delivery.Logs.
type Logs struct{ client *cloudwatchlogs.Client }

// NewLogs returns the logs of the configuration's account and region.
func NewLogs(cfg aws.Config) *Logs { return &Logs{client: cloudwatchlogs.NewFromConfig(cfg)} }

// LogGroup names the log group of an endpoint (facts: CloudWatch Logs).
func LogGroup(runtimeID, endpoint string) string {
	return "/aws/bedrock-agentcore/runtimes/" + runtimeID + "-" + endpoint
}

// Lines returns the log lines of a window, oldest first. Where there are more
// than its limit, the newest are kept: how a thing ended tells more than how
// it began. A log group that does not exist yet has no lines.
func (l *Logs) Lines(ctx context.Context, window delivery.LogWindow) ([]delivery.LogLine, error) {
	ctx, cancel := context.WithTimeout(ctx, sdkBudget)
	defer cancel()
	limit := window.Limit
	if limit <= 0 {
		limit = defaultLines
	}
	group := LogGroup(window.RuntimeID, window.Endpoint)
	input := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(group), Limit: aws.Int32(logPage)}
	if !window.Since.IsZero() {
		input.StartTime = aws.Int64(window.Since.UnixMilli())
	}
	if !window.Until.IsZero() {
		input.EndTime = aws.Int64(window.Until.UnixMilli())
	}
	var lines []delivery.LogLine
	for range maxLogPages {
		out, err := l.client.FilterLogEvents(ctx, input)
		if err != nil {
			if err = sdkError("Logs", "FilterLogEvents", group, err); errors.Is(err, delivery.ErrNotFound) {
				return nil, nil
			}
			return nil, err
		}
		for _, event := range out.Events {
			lines = append(lines, logLine(event))
		}
		if len(lines) > 4*limit {
			lines = newest(lines, limit)
		}
		if aws.ToString(out.NextToken) == "" { // an empty page with a token is not the end
			break
		}
		input.NextToken = out.NextToken
	}
	return newest(lines, limit), nil
}

func logLine(event types.FilteredLogEvent) delivery.LogLine {
	return delivery.LogLine{
		ID:     aws.ToString(event.EventId),
		At:     time.UnixMilli(aws.ToInt64(event.Timestamp)).UTC(),
		Stream: aws.ToString(event.LogStreamName),
		Text:   strings.TrimRight(aws.ToString(event.Message), "\r\n"),
	}
}

// newest sorts by time, keeping the order in which equal times came, and
// drops all but the last limit lines.
func newest(lines []delivery.LogLine, limit int) []delivery.LogLine {
	slices.SortStableFunc(lines, func(a, b delivery.LogLine) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	if len(lines) > limit {
		lines = slices.Clone(lines[len(lines)-limit:])
	}
	return lines
}
