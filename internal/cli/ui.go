package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
)

// The rules of this program's output, all of which is written in this file,
// frames aside, which screen.go puts together:
//
//   - stdout carries the result alone, stderr the rest;
//   - an error is "error:" and what failed, then "hint:" lines with what to
//     do, then "now:" with what serves; lower case, no full stop;
//   - a line that changes in place appears on a terminal alone, never in CI;
//   - colour says nothing that the words don't.
type ui struct {
	out, err io.Writer
	in       io.Reader
	json     bool
	quiet    bool
	live     bool // stderr is a terminal that may be redrawn
	color    bool
	asks     bool // there is somebody to ask
	actions  bool // GitHub Actions reads stderr

	mu      sync.Mutex
	pending bool     // a line that will be drawn over
	secrets []string // what is never written, the longest first
	warned  []string // what was warned of
}

func newUI(a *app) *ui {
	terminal := isTerminal(a.Err)
	dumb := a.Getenv("TERM") == "dumb"
	u := &ui{in: a.In, json: a.json(), quiet: a.quiet,
		live:    terminal && !dumb && !a.ci(),
		asks:    isTerminal(a.In) && terminal && !a.ci(),
		actions: a.Getenv("GITHUB_ACTIONS") == "true",
	}
	u.out, u.err = redacting{a.Out, u}, redacting{a.Err, u}
	u.color = terminal && !dumb && a.Getenv("NO_COLOR") == "" && !a.noColor
	return u
}

func isTerminal(stream any) bool {
	f, ok := stream.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth is how many characters a line of the terminal has, 0 where
// there is no terminal.
func terminalWidth(stream any) int {
	if r, ok := stream.(redacting); ok {
		stream = r.to
	}
	f, ok := stream.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (u *ui) paint(code, text string) string {
	if !u.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// line writes one line of progress to stderr.
func (u *ui) line(format string, args ...any) {
	if u.quiet {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	fmt.Fprintf(u.err, format+"\n", args...)
}

// draft writes a line that the next one replaces; nothing where stderr can't
// be redrawn.
func (u *ui) draft(format string, args ...any) {
	if !u.live || u.quiet {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	text := []rune(fmt.Sprintf(format, args...))
	if width := terminalWidth(u.err); width > 0 && len(text) >= width {
		text = append(text[:width-2], '…') // a second line would stay
	}
	fmt.Fprint(u.err, string(text))
	u.pending = true
}

func (u *ui) clear() {
	if u.pending {
		fmt.Fprint(u.err, "\r\x1b[2K")
		u.pending = false
	}
}

// warn writes a warning, each text once.
func (u *ui) warn(format string, args ...any) {
	text := u.tame(fmt.Sprintf(format, args...))
	u.mu.Lock()
	defer u.mu.Unlock()
	if slices.Contains(u.warned, text) {
		return
	}
	u.warned = append(u.warned, text)
	u.clear()
	if u.actions {
		_ = github.Annotate(u.err, github.Annotation{Level: "warning", Message: text}) // stderr: nobody to tell
		return
	}
	fmt.Fprintf(u.err, "%s %s\n", u.paint(yellow, "warning:"), text)
}

// mask tells GitHub Actions to hide values in the job's log, quiet or not,
// before anybody prints them.
func (u *ui) mask(values ...string) error {
	if !u.actions {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	for _, v := range values {
		if err := github.Mask(u.err, v); err != nil {
			return fmt.Errorf("asking GitHub to mask a value: %w", err)
		}
	}
	return nil
}

// result writes a line of the result to stdout.
func (u *ui) result(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	fmt.Fprintf(u.out, format+"\n", args...)
}

// raw passes on to stdout what somebody else wrote.
func (u *ui) raw(p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	_, _ = u.out.Write(p) // nobody reads: nobody to tell
}

// document writes a JSON document to stdout.
func (u *ui) document(v any) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	enc := json.NewEncoder(u.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// jsonLine writes a JSON document to stdout, in one line: one of several.
func (u *ui) jsonLine(v any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	enc := json.NewEncoder(u.out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // nobody reads: nobody to tell
}

// foreign writes lines that others wrote, indented, on stderr. In GitHub
// Actions no such line is taken for a command.
func (u *ui) foreign(lines []string) {
	if u.quiet || len(lines) == 0 {
		return
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "    %s %s\n", u.paint(dim, "│"), printable(cut(l)))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	if u.actions {
		_ = github.Foreign(u.err, []byte(b.String())) // stderr: nobody to tell
		return
	}
	fmt.Fprint(u.err, b.String())
}

// mostOfLine is how much of a line that others wrote is shown: the whole is
// in the agent's log.
const mostOfLine = 2000

// cut shortens a line to what is shown of it.
func cut(line string) string {
	if len(line) <= mostOfLine {
		return line
	}
	return fmt.Sprintf("%s… (%d bytes more)", strings.ToValidUTF8(line[:mostOfLine], ""), len(line)-mostOfLine)
}

// printable drops what could move a terminal's cursor or reorder what it
// shows, line ends among it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		control := r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0
		if control || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
}

// printableLines is printable for a text that may have several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n")
}

// tame makes one line of a text that may quote what others wrote. GitHub's
// runner takes "##[" for a command wherever it stands, and "::" where a line
// begins, blanks aside.
func (u *ui) tame(s string) string {
	return u.harmless(strings.ReplaceAll(strings.TrimSpace(s), "\n", " "))
}

// harmless is printable, and for a line that does not begin with others' text:
// GitHub's runner finds no command in it.
func (u *ui) harmless(s string) string {
	s = printable(s)
	if u.actions {
		s = strings.ReplaceAll(s, "##[", "# #[")
	}
	return s
}

// fail tells an error: what failed, what to do, what serves now.
func (u *ui) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	if u.actions {
		u.annotate(err)
	} else {
		fmt.Fprintf(u.err, "%s %s\n", u.paint(red, "error:"), indent(printableLines(err.Error())))
	}
	var denial *awsauth.Denial
	if errors.As(err, &denial) {
		u.denial(denial)
	}
	var e *delivery.Error
	if !errors.As(err, &e) {
		return
	}
	for _, h := range e.Hints {
		fmt.Fprintf(u.err, "%s %s\n", u.paint(bold, "hint:"), u.tame(h))
	}
	if e.Serves != "" {
		fmt.Fprintf(u.err, "%s %s\n", u.paint(bold, "now:"), u.tame(e.Serves))
	}
}

// mostAnnotations is how many errors GitHub shows of a step.
const mostAnnotations = 10

// annotate tells an error as GitHub shows it: the mistakes of slipway.yaml at
// their lines.
func (u *ui) annotate(err error) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		_ = github.Annotate(u.err, github.Annotation{Level: "error", Title: "slipway", Message: printableLines(err.Error())}) // stderr: nobody to tell
		return
	}
	for i, p := range problems {
		text := annotationText(p)
		if i == mostAnnotations-1 && len(problems) > mostAnnotations {
			text += fmt.Sprintf(" (and %d more)", len(problems)-mostAnnotations)
		}
		_ = github.Annotate(u.err, github.Annotation{Level: "error", File: p.File, Line: p.Line, Column: p.Column, Title: "slipway", Message: text}) // as above
	}
}

// annotationText is a mistake without its place, which the annotation has.
func annotationText(p config.Problem) string {
	return strings.TrimPrefix(p.String(), fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column))
}

// denial shows the token beside what would have been admitted, claim by claim.
func (u *ui) denial(d *awsauth.Denial) {
	width := 0
	for _, c := range d.Expected {
		width = max(width, len(c.Name))
	}
	for _, c := range d.Expected {
		if c.Want == "" {
			fmt.Fprintf(u.err, "       %-*s  sent  %s\n", width, c.Name, u.tame(c.Got))
			continue
		}
		if c.OK {
			fmt.Fprintf(u.err, "       %-*s  ok    %s\n", width, c.Name, u.tame(c.Got))
			continue
		}
		fmt.Fprintf(u.err, "       %-*s  %s  %s\n", width, c.Name, u.paint(green, "want"), u.tame(c.Want))
		fmt.Fprintf(u.err, "       %-*s  %s   %s\n", width, "", u.paint(red, "got"), orAbsent(u.tame(c.Got)))
	}
}

func orAbsent(s string) string {
	if s == "" {
		return "(absent)"
	}
	return s
}

func indent(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n       ")
}

// confirm asks before something outside this machine is changed. Where nobody
// can be asked, it is refused.
func (u *ui) confirm(ctx context.Context, question string) error {
	if !u.asks {
		return &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("%s there is no terminal to ask on", question), Hints: []string{"--yes answers yes"}}
	}
	fmt.Fprintf(u.err, "%s [y/N] ", question)
	answer, err := until(ctx, func() (string, error) { return bufio.NewReader(u.in).ReadString('\n') })
	if ctx.Err() != nil {
		fmt.Fprintln(u.err)
		return &delivery.Error{Kind: delivery.KindInterrupted, Err: fmt.Errorf("%s interrupted: nothing was changed", question)}
	}
	if err != nil && answer == "" {
		return &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("%s %w", question, err)}
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("%s answered no: nothing was changed", question)}
	}
	return nil
}

// until waits for a read that can't be interrupted, but no longer than the
// context lives: a read that is left ends with the process.
func until[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// plural is a number of things: 1 step, 2 steps.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
