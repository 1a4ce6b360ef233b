package build

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// longestReport bounds a line of a client's progress, in bytes: one report
// lists all the steps of a Dockerfile.
const longestReport = 8 << 20

// steps follows the steps of a build, from either form of progress that
// BuildKit's clients print, and tells them on. Everything passes its mask.
type steps struct {
	req  delivery.BuildRequest
	mask mask
	// parse is what a line means: (*steps).report or (*steps).plain.
	parse func(*steps, string)

	byID   map[string]*progressStep
	count  int           // of the steps that have begun
	failed *progressStep // the first one that failed by itself
	said   tail          // what the client said besides
}

// progressStep is a step of a Dockerfile, or of BuildKit's own.
type progressStep struct {
	name    string // #5 [stage-1 2/4] RUN go build
	number  int    // from 1, in the order in which they began
	started time.Time
	done    bool
	err     string
	output  tail
	partial map[int]string // by stream: a line without an end yet
}

func newSteps(o *order, parse func(*steps, string)) *steps {
	return &steps{req: o.req, mask: o.mask, parse: parse, byID: map[string]*progressStep{}}
}

// line takes a line that the client has printed.
func (s *steps) line(text string) { s.parse(s, text) }

// step returns the step with that id.
func (s *steps) step(id string) *progressStep {
	p := s.byID[id]
	if p == nil {
		p = &progressStep{partial: map[int]string{}}
		s.byID[id] = p
	}
	return p
}

// begin names a step. A name of several lines is told by its first.
func (s *steps) begin(p *progressStep, name string) {
	if p.name != "" {
		return
	}
	if s.count++; p.number == 0 {
		p.number = s.count
	}
	first, _, _ := strings.Cut(name, "\n")
	p.name = s.mask.hide(fmt.Sprintf("#%d %s", p.number, first))
	if s.req.Step != nil {
		s.req.Step(delivery.BuildStep{Name: p.name})
	}
}

// end tells of a step that ended well. Those that BuildKit adds of its own
// are not told: nobody wrote them.
func (s *steps) end(p *progressStep, cached bool, elapsed time.Duration) {
	if p.done || p.name == "" {
		return
	}
	p.done = true
	_, name, _ := strings.Cut(p.name, " ")
	own := !strings.HasPrefix(name, "[") || strings.HasPrefix(name, "[internal]") || strings.HasPrefix(name, "[auth]")
	if !own && s.req.Step != nil {
		s.req.Step(delivery.BuildStep{Name: p.name, Done: true, Cached: cached, Elapsed: elapsed})
	}
}

// fail notes why a step failed. What is cancelled because another one failed
// is not the cause.
func (s *steps) fail(p *progressStep, why string) {
	p.done, p.err = true, s.mask.hide(why)
	if s.failed == nil && !strings.Contains(why, "context canceled") {
		s.failed = p
	}
}

// print takes a line that a step printed.
func (s *steps) print(p *progressStep, line string) {
	line = s.mask.hide(strings.TrimRight(line, "\r"))
	_, _ = p.output.Write([]byte(line + "\n")) // it never fails
	if s.req.Progress != nil {
		s.req.Progress(fmt.Sprintf("#%d %s", p.number, line))
	}
}

// say takes a line of the client itself.
func (s *steps) say(line string) {
	line = s.mask.hide(line)
	_, _ = s.said.Write([]byte(line + "\n")) // it never fails
	if s.req.Progress != nil && strings.TrimSpace(line) != "" {
		s.req.Progress(line)
	}
}

// report is one line of --progress=rawjson: BuildKit's SolveStatus.
type report struct {
	Vertexes []struct {
		Digest    string     `json:"digest"`
		Name      string     `json:"name"`
		Started   *time.Time `json:"started"`
		Completed *time.Time `json:"completed"`
		Cached    bool       `json:"cached"`
		Error     string     `json:"error"`
	} `json:"vertexes"`
	Logs []struct {
		Vertex string `json:"vertex"`
		Stream int    `json:"stream"`
		Data   []byte `json:"data"`
	} `json:"logs"`
}

// report takes a line of --progress=rawjson. What is no report is the client's
// own word.
func (s *steps) report(line string) {
	var r report
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &r) != nil {
		s.say(line)
		return
	}
	// Output first: the report that ends a step may carry its last words.
	for _, l := range r.Logs {
		s.log(s.step(l.Vertex), l.Stream, string(l.Data))
	}
	for _, v := range r.Vertexes {
		p := s.step(v.Digest)
		if v.Started != nil {
			p.started = *v.Started
			s.begin(p, v.Name)
		}
		if v.Completed == nil {
			continue
		}
		s.flush(p)
		if v.Error != "" {
			s.begin(p, v.Name)
			s.fail(p, v.Error)
			continue
		}
		s.end(p, v.Cached, v.Completed.Sub(p.started))
	}
}

// log takes a piece of a step's output, which may end within a line.
func (s *steps) log(p *progressStep, stream int, data string) {
	text := p.partial[stream] + data
	for {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole {
			break
		}
		s.print(p, line)
		text = rest
	}
	if len(text) > keptOutput {
		s.print(p, text)
		text = ""
	}
	p.partial[stream] = text
}

// flush prints last lines that have no end.
func (s *steps) flush(p *progressStep) {
	for stream, text := range p.partial {
		if text != "" {
			s.print(p, text)
		}
		delete(p.partial, stream)
	}
}

var (
	plainLine   = regexp.MustCompile(`^#(\d+) (.*)$`)
	plainOutput = regexp.MustCompile(`^\d+\.\d+ (.*)$`)
	plainDone   = regexp.MustCompile(`^DONE (\d+(?:\.\d+)?)s$`)
	plainNoise  = regexp.MustCompile(`^(?:sha256:[0-9a-f]{64}|\.\.\.$)`)
)

// plain takes a line of --progress=plain.
func (s *steps) plain(line string) {
	m := plainLine.FindStringSubmatch(line)
	if m == nil {
		s.say(line)
		return
	}
	p, rest := s.step(m[1]), m[2]
	p.number, _ = strconv.Atoi(m[1])
	switch {
	case p.name == "":
		s.begin(p, rest)
	case rest == "CACHED":
		s.end(p, true, 0)
	case strings.HasPrefix(rest, "ERROR: "):
		s.fail(p, strings.TrimPrefix(rest, "ERROR: "))
	case plainDone.MatchString(rest):
		seconds, _ := strconv.ParseFloat(plainDone.FindStringSubmatch(rest)[1], 64)
		s.end(p, false, time.Duration(seconds*float64(time.Second)))
	case plainOutput.MatchString(rest):
		s.print(p, plainOutput.FindStringSubmatch(rest)[1])
	case plainNoise.MatchString(rest), p.name == line:
	default:
		if s.req.Progress != nil {
			s.req.Progress(s.mask.hide(line))
		}
	}
}
