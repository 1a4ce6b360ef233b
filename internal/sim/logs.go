package sim

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// CloudWatch Logs, as far as agents' output needs it: groups and streams are
// made by what prints; events are found again by FilterLogEvents. Left out:
// PutLogEvents, retention, JSON patterns, live tail.

func (c *Cloud) logsOperations() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"FilterLogEvents":    c.filterLogEvents,
		"DescribeLogGroups":  c.describeLogGroups,
		"DescribeLogStreams": c.describeLogStreams,
	}
}

// Limits of FilterLogEvents: events in an answer, and events looked at for
// one. An answer may be empty and still have a nextToken.
const (
	maxLogEvents  = 10_000
	maxLogScanned = 10_000
)

type filterRequest struct {
	LogGroupName        string   `json:"logGroupName"`
	LogGroupIdentifier  string   `json:"logGroupIdentifier"`
	LogStreamNames      []string `json:"logStreamNames"`
	LogStreamNamePrefix string   `json:"logStreamNamePrefix"`
	StartTime           *int64   `json:"startTime"`
	EndTime             *int64   `json:"endTime"`
	FilterPattern       string   `json:"filterPattern"`
	Limit               *int     `json:"limit"`
	NextToken           string   `json:"nextToken"`
}

var logGroupPattern = pattern.New(`^[.\-_/#A-Za-z0-9]{1,512}$`)

func badParameter(format string, args ...any) *fault {
	return faultf(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

// group resolves the group's name: by name, or by ARN of the caller's own
// account and region. Groups of others are not shared here.
func (q *filterRequest) group(k *call) (string, error) {
	name := q.LogGroupName
	if q.LogGroupIdentifier != "" {
		if name != "" {
			return "", badParameter("LogGroupName and LogGroupIdentifier can't be used together.")
		}
		name = q.LogGroupIdentifier
		if own, ok := strings.CutPrefix(name, logGroupARN(k.account, k.region, "")); ok {
			name = strings.TrimSuffix(own, ":*")
		} else if strings.HasPrefix(name, "arn:") {
			return "", noLogGroup()
		}
	}
	if !logGroupPattern.MatchString(name) {
		return "", badParameter("1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+", name)
	}
	return name, nil
}

// check judges what is no group: limit, streams, pattern.
func (q *filterRequest) check() (logPattern, error) {
	if q.Limit != nil && (*q.Limit < 1 || *q.Limit > maxLogEvents) {
		return nil, badParameter("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and %d", *q.Limit, maxLogEvents)
	}
	if len(q.LogStreamNames) > 100 {
		return nil, badParameter("logStreamNames has more than 100 names")
	}
	if len(q.LogStreamNames) > 0 && q.LogStreamNamePrefix != "" {
		return nil, badParameter("LogStreamNames and LogStreamNamePrefix can't be used together.")
	}
	return parseLogPattern(q.FilterPattern)
}

func (q *filterRequest) wants(e logEvent) bool {
	if q.StartTime != nil && e.Time < *q.StartTime || q.EndTime != nil && e.Time > *q.EndTime {
		return false
	}
	return strings.HasPrefix(e.Stream, q.LogStreamNamePrefix) && (len(q.LogStreamNames) == 0 || contains(q.LogStreamNames, e.Stream))
}

func noLogGroup() error {
	return faultf(http.StatusBadRequest, "ResourceNotFoundException", "The specified log group does not exist.")
}

func logGroupARN(account, region, name string) string {
	return fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", region, account, name)
}

// mayUseLogGroup asks whether the caller may, on the group with its streams: a
// policy names it as the group's ARN and :* (CloudWatch Logs user guide,
// "Managing access permissions": without it, tagging alone is meant).
func (c *Cloud) mayUseLogGroup(k *call) error {
	return c.allowed(k.asker(), "logs:"+k.op.name, k.resource+":log-stream:", nil)
}

func (c *Cloud) filterLogEvents(k *call) (any, error) {
	var q filterRequest
	if err := k.decode(&q); err != nil {
		return nil, err
	}
	name, err := q.group(k)
	if err != nil {
		return nil, err
	}
	pattern, err := q.check()
	if err != nil {
		return nil, err
	}
	k.resource = logGroupARN(k.account, k.region, name)
	if err := c.mayUseLogGroup(k); err != nil {
		return nil, err
	}
	after, err := parseLogToken(q.NextToken)
	if err != nil {
		return nil, err
	}
	events, err := c.readLogs(k.account, k.region, name)
	if err != nil {
		return nil, err
	}
	limit := maxLogEvents
	if q.Limit != nil {
		limit = *q.Limit
	}
	return q.scan(events, pattern, after, limit), nil
}

// scan looks at a stretch of events. Their order is that of their times.
func (q *filterRequest) scan(events []logEvent, pattern logPattern, after int64, limit int) any {
	found, scanned := []map[string]any{}, 0
	out := map[string]any{"searchedLogStreams": []any{}}
	start := sort.Search(len(events), func(i int) bool { return events[i].Seq > after })
	for i, e := range events[start:] {
		if scanned++; q.wants(e) && pattern.match(e.Message) {
			found = append(found, map[string]any{"logStreamName": e.Stream, "timestamp": e.Time, "message": e.Message,
				"ingestionTime": e.Time, "eventId": fmt.Sprintf("%056d", e.Seq)})
		}
		last := start+i == len(events)-1
		if !last && (len(found) == limit || scanned == maxLogScanned) {
			out["nextToken"] = logToken(e.Seq)
			break
		}
	}
	out["events"] = found
	return out
}

func logToken(seq int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(seq, 10)))
}

func parseLogToken(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		if seq, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return seq, nil
		}
	}
	return 0, badParameter("The specified nextToken is invalid.")
}

func (c *Cloud) describeLogGroups(k *call) (any, error) {
	var q struct {
		Prefix  string `json:"logGroupNamePrefix"`
		Pattern string `json:"logGroupNamePattern"`
		Limit   *int   `json:"limit"`
		Next    string `json:"nextToken"`
	}
	if err := k.decode(&q); err != nil {
		return nil, err
	}
	if err := c.allowed(k.asker(), "logs:DescribeLogGroups", logGroupARN(k.account, k.region, "")+":log-stream:", nil); err != nil {
		return nil, err
	}
	if q.Prefix != "" && q.Pattern != "" {
		return nil, badParameter("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	var all []map[string]any
	for _, g := range c.logGroups(k.account, k.region) {
		if strings.HasPrefix(g.Name, q.Prefix) && strings.Contains(strings.ToLower(g.Name), strings.ToLower(q.Pattern)) {
			arn := logGroupARN(k.account, k.region, g.Name)
			all = append(all, map[string]any{"logGroupName": g.Name, "creationTime": g.Created, "arn": arn + ":*",
				"logGroupArn": arn, "metricFilterCount": 0, "storedBytes": 0, "logGroupClass": "STANDARD"})
		}
	}
	return pageLogs("logGroups", all, q.Limit, q.Next)
}

// pageLogs cuts a list of the Describe calls: at most 50 items, tokens are
// positions.
func pageLogs(name string, all []map[string]any, limit *int, token string) (any, error) {
	size := 50
	if limit != nil {
		if size = *limit; size < 1 || size > 50 {
			return nil, badParameter("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and 50", size)
		}
	}
	start, err := parseLogToken(token)
	if err != nil || start < 0 || start > int64(len(all)) {
		return nil, badParameter("The specified nextToken is invalid.")
	}
	end := min(int(start)+size, len(all))
	out := map[string]any{name: append([]map[string]any{}, all[start:end]...)}
	if end < len(all) {
		out["nextToken"] = logToken(int64(end))
	}
	return out, nil
}

func (c *Cloud) describeLogStreams(k *call) (any, error) {
	var q struct {
		filterRequest
		OrderBy    string `json:"orderBy"`
		Descending bool   `json:"descending"`
	}
	if err := k.decode(&q); err != nil {
		return nil, err
	}
	name, err := q.group(k)
	if err != nil {
		return nil, err
	}
	k.resource = logGroupARN(k.account, k.region, name)
	if err := c.mayUseLogGroup(k); err != nil {
		return nil, err
	}
	byTime := q.OrderBy == "LastEventTime"
	if byTime && q.LogStreamNamePrefix != "" {
		return nil, badParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	events, err := c.readLogs(k.account, k.region, name)
	if err != nil {
		return nil, err
	}
	streams := logStreams(events, q.LogStreamNamePrefix)
	sort.SliceStable(streams, func(i, j int) bool {
		if q.Descending {
			i, j = j, i
		}
		if byTime {
			return streams[i]["lastEventTimestamp"].(int64) < streams[j]["lastEventTimestamp"].(int64)
		}
		return streams[i]["logStreamName"].(string) < streams[j]["logStreamName"].(string)
	})
	for _, s := range streams {
		s["arn"] = k.resource + ":log-stream:" + s["logStreamName"].(string)
	}
	return pageLogs("logStreams", streams, q.Limit, q.NextToken)
}

// logStreams sums events up by stream.
func logStreams(events []logEvent, prefix string) []map[string]any {
	byName := make(map[string]map[string]any)
	var all []map[string]any
	for _, e := range events {
		if !strings.HasPrefix(e.Stream, prefix) {
			continue
		}
		s := byName[e.Stream]
		if s == nil {
			s = map[string]any{"logStreamName": e.Stream, "creationTime": e.Time, "firstEventTimestamp": e.Time, "storedBytes": 0}
			byName[e.Stream] = s
			all = append(all, s)
		}
		s["lastEventTimestamp"], s["lastIngestionTime"] = e.Time, e.Time
	}
	return all
}
