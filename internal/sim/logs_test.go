package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// logLines reads an agent's log, through DEFAULT.
func (f *fleet) logLines(arn string) []string {
	f.t.Helper()
	client := cloudwatchlogs.NewFromConfig(adminConfig(f.t, f.srv, DefaultAccount))
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	out := must[*cloudwatchlogs.FilterLogEventsOutput](f.t)(client.FilterLogEvents(f.t.Context(),
		&cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(logGroup(id, "DEFAULT"))}))
	var lines []string
	for _, e := range out.Events {
		if !strings.Contains(*e.LogStreamName, "/[runtime-logs]") {
			f.t.Errorf("stream %s", *e.LogStreamName)
		}
		lines = append(lines, *e.Message)
	}
	return lines
}

func TestAgentsOutputIsLogged(t *testing.T) {
	f := newFleet(t)
	f.push("one", agentImage(t))
	id, arn := f.deploy(map[string]string{"MODE": "crash"})
	if _, err := f.invoke(arn, "a", `{}`); err == nil {
		t.Fatal("the agent did not crash")
	}
	if got := strings.Join(f.logLines(arn), "\n"); got != "Traceback: ModuleNotFoundError: No module named 'strands'" {
		t.Errorf("the log holds %q", got)
	}
	f.redeploy(id, func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
		in.EnvironmentVariables = map[string]string{"REVISION": "two"}
	})
	f.must(arn, "b", `{}`)
	if got := f.logLines(arn); len(got) != 2 || got[1] != "agent starts, revision two" {
		t.Errorf("the log holds %q", got)
	}
}

// logHub is a cloud with a log group and a client for it.
func logHub(t *testing.T) (*Cloud, *cloudwatchlogs.Client) {
	t.Helper()
	c := &Cloud{Dir: t.TempDir()}
	return c, cloudwatchlogs.NewFromConfig(adminConfig(t, serveCloud(t, c), DefaultAccount))
}

const testGroup = "/aws/bedrock-agentcore/runtimes/agent-0123456789-DEFAULT"

func (c *Cloud) mustLog(t *testing.T, stream string, lines ...string) {
	t.Helper()
	if err := c.appendLogs(DefaultAccount, DefaultRegion, testGroup, stream, lines); err != nil {
		t.Fatal(err)
	}
}

func messages(out *cloudwatchlogs.FilterLogEventsOutput) string {
	var all []string
	for _, e := range out.Events {
		all = append(all, *e.Message)
	}
	return strings.Join(all, "|")
}

func TestFilterLogEvents(t *testing.T) {
	c, client := logHub(t)
	clock := &movedClock{at: time.Now()}
	c.Now = clock.now
	c.mustLog(t, "2026/11/23/[runtime-logs]a", "one error", "two")
	clock.add(10 * time.Second)
	middle := clock.now().UnixMilli()
	c.mustLog(t, "2026/11/23/[runtime-logs]b", "three ERROR", `four "exit code"`)
	for name, test := range map[string]struct {
		in   cloudwatchlogs.FilterLogEventsInput
		want string
	}{
		"all":          {cloudwatchlogs.FilterLogEventsInput{}, `one error|two|three ERROR|four "exit code"`},
		"term":         {cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("error")}, "one error"},
		"any":          {cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("?error ?ERROR")}, "one error|three ERROR"},
		"phrase":       {cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String(`"exit code"`)}, `four "exit code"`},
		"not":          {cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("-error -ERROR")}, `two|four "exit code"`},
		"from":         {cloudwatchlogs.FilterLogEventsInput{StartTime: &middle}, `three ERROR|four "exit code"`},
		"until":        {cloudwatchlogs.FilterLogEventsInput{EndTime: aws.Int64(middle - 1)}, "one error|two"},
		"prefix":       {cloudwatchlogs.FilterLogEventsInput{LogStreamNamePrefix: aws.String("2026/11/23/[runtime-logs]b")}, `three ERROR|four "exit code"`},
		"not a prefix": {cloudwatchlogs.FilterLogEventsInput{LogStreamNamePrefix: aws.String("[runtime-logs]")}, ""},
		"streams":      {cloudwatchlogs.FilterLogEventsInput{LogStreamNames: []string{"2026/11/23/[runtime-logs]a"}}, "one error|two"},
	} {
		test.in.LogGroupName = aws.String(testGroup)
		out, err := client.FilterLogEvents(t.Context(), &test.in)
		if err != nil || messages(out) != test.want {
			t.Errorf("%s: %v, %v; want %s", name, out, err, test.want)
		}
	}
	arn := logGroupARN(DefaultAccount, DefaultRegion, testGroup)
	byARN := must[*cloudwatchlogs.FilterLogEventsOutput](t)(client.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupIdentifier: &arn, Limit: aws.Int32(1)}))
	if messages(byARN) != "one error" || byARN.NextToken == nil {
		t.Errorf("by ARN: %v", byARN)
	}
}

func TestFilterLogEventsRefuses(t *testing.T) {
	c, client := logHub(t)
	c.mustLog(t, "s", "x")
	for name, test := range map[string]struct {
		in      cloudwatchlogs.FilterLogEventsInput
		code    string
		message string
	}{
		"no group":          {cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/none")}, "ResourceNotFoundException", "The specified log group does not exist."},
		"JSON pattern":      {cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup), FilterPattern: aws.String(`{ $.level = "error" }`)}, "InvalidParameterException", "pattern"},
		"open quote":        {cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup), FilterPattern: aws.String(`"error`)}, "InvalidParameterException", "pattern"},
		"limit":             {cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup), Limit: aws.Int32(10001)}, "InvalidParameterException", "limit"},
		"token":             {cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup), NextToken: aws.String("?")}, "InvalidParameterException", "nextToken"},
		"another account's": {cloudwatchlogs.FilterLogEventsInput{LogGroupIdentifier: aws.String(logGroupARN("444455556666", DefaultRegion, testGroup))}, "ResourceNotFoundException", "does not exist"},
		"name and ARN":      {cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup), LogGroupIdentifier: aws.String(testGroup)}, "InvalidParameterException", "together"},
	} {
		_, err := client.FilterLogEvents(t.Context(), &test.in)
		t.Log(name)
		wantFault(t, err, test.code, 400, test.message)
	}
}

func TestLogsArePagedAndSurviveARestart(t *testing.T) {
	c, client := logHub(t)
	var want []string
	for i := range 25 {
		line := fmt.Sprint("line ", i)
		want = append(want, line)
		c.mustLog(t, "s", line)
	}
	read := func(client *cloudwatchlogs.Client) string {
		var all []string
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(client, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup), Limit: aws.Int32(10)})
		for pages.HasMorePages() {
			all = append(all, messages(must[*cloudwatchlogs.FilterLogEventsOutput](t)(pages.NextPage(t.Context()))))
		}
		return strings.Join(all, "|")
	}
	if got := read(client); got != strings.Join(want, "|") {
		t.Errorf("got %s", got)
	}
	kill(t, c)
	again := &Cloud{Dir: c.Dir}
	other := cloudwatchlogs.NewFromConfig(adminConfig(t, serveCloud(t, again), DefaultAccount))
	again.mustLog(t, "s", "after")
	if got := read(other); got != strings.Join(append(want, "after"), "|") {
		t.Errorf("after a restart: %s", got)
	}
}

func TestLogFileCutOffByACrash(t *testing.T) {
	c, client := logHub(t)
	c.mustLog(t, "s", "whole")
	files := must[[]string](t)(filepath.Glob(filepath.Join(c.Dir, "logs", "*")))
	if err := c.disk.append(files[0], []byte(`{"q":2,"t":`)); err != nil {
		t.Fatal(err)
	}
	kill(t, c)
	again := &Cloud{Dir: c.Dir}
	serveCloud(t, again)
	again.mustLog(t, "s", "next")
	out := must[*cloudwatchlogs.FilterLogEventsOutput](t)(client.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup)}))
	if messages(out) != "whole|next" {
		t.Errorf("got %s", messages(out))
	}
}

func TestLogFileIsBounded(t *testing.T) {
	c, _ := logHub(t)
	line := strings.Repeat("x", 1<<20)
	for range 20 {
		c.mustLog(t, "s", line)
	}
	files := must[[]string](t)(filepath.Glob(filepath.Join(c.Dir, "logs", "*")))
	info := must[os.FileInfo](t)(os.Stat(files[0]))
	events := must[[]logEvent](t)(c.readLogs(DefaultAccount, DefaultRegion, testGroup))
	if info.Size() > maxLogFile || len(events) == 0 || events[len(events)-1].Seq != 20 {
		t.Errorf("%d bytes, %d events", info.Size(), len(events))
	}
}

func TestDescribeLogs(t *testing.T) {
	c, client := logHub(t)
	c.mustLog(t, "b", "1")
	c.mustLog(t, "a", "2")
	groups := must[*cloudwatchlogs.DescribeLogGroupsOutput](t)(client.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/bedrock")}))
	if len(groups.LogGroups) != 1 || *groups.LogGroups[0].LogGroupName != testGroup {
		t.Errorf("groups: %+v", groups.LogGroups)
	}
	streams := must[*cloudwatchlogs.DescribeLogStreamsOutput](t)(client.DescribeLogStreams(t.Context(),
		&cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String(testGroup), OrderBy: logtypes.OrderByLogStreamName, Limit: aws.Int32(1)}))
	if len(streams.LogStreams) != 1 || *streams.LogStreams[0].LogStreamName != "a" || streams.NextToken == nil {
		t.Errorf("streams: %+v", streams)
	}
}

func FuzzLogPattern(f *testing.F) {
	for _, seed := range []string{"", "error", `"a b" -c ?d`, `"\""`, `- ?`, `{ $.a = 1 }`, `a"b`} {
		f.Add(seed, "a b c error")
	}
	f.Fuzz(func(t *testing.T, pattern, message string) {
		p, err := parseLogPattern(pattern)
		if err != nil {
			return
		}
		for _, term := range p {
			if term.text == "" {
				t.Errorf("%q has an empty term", pattern)
			}
		}
		p.match(message)
	})
}
