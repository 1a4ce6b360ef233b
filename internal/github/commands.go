package github

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Annotation is a finding that GitHub shows beside the file it is about.
type Annotation struct {
	Level   string // error, warning or notice; "" means error
	File    string // relative to the repository; "" if about no file
	Line    int    // from 1; 0 if unknown
	Column  int    // from 1; 0 if unknown
	Title   string
	Message string
}

// Annotate writes the annotation as a workflow command. GitHub shows the
// first ten of a level in each step: write the worst first.
func Annotate(w io.Writer, a Annotation) error {
	level := a.Level
	if level == "" {
		level = "error"
	}
	var properties []string
	add := func(name, value string) {
		if value != "" && value != "0" {
			properties = append(properties, name+"="+escapeProperty(value))
		}
	}
	add("file", a.File)
	add("line", strconv.Itoa(a.Line))
	add("col", strconv.Itoa(a.Column))
	add("title", a.Title)
	if len(properties) > 0 {
		level += " " + strings.Join(properties, ",")
	}
	return line(w, "::"+level+"::"+escapeData(a.Message))
}

// Group opens a group of lines that GitHub folds.
func Group(w io.Writer, title string) error { return line(w, "::group::"+escapeData(title)) }

// EndGroup closes the group that was opened last.
func EndGroup(w io.Writer) error { return line(w, "::endgroup::") }

// Mask tells the runner to replace value in every log that follows, each of
// its lines by itself. It has to come before the value is printed: the
// command itself is not shown.
func Mask(w io.Writer, value string) error {
	for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if err := line(w, "::add-mask::"+escapeData(part)); err != nil {
			return err
		}
	}
	return nil
}

// Foreign writes text that others wrote, an agent's log for one, so that no
// line of it is taken for a workflow command.
func Foreign(w io.Writer, text []byte) error {
	token := rand.Text()
	if err := line(w, "::stop-commands::"+token); err != nil {
		return err
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(bytes.Clone(text), '\n') // the closing command needs a line of its own
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return line(w, "::"+token+"::")
}

// WriteOutput writes one output of the step as GITHUB_OUTPUT wants it. The
// delimiter is random, so that no value can end itself early and set another
// output. Credentials do not belong here.
func WriteOutput(w io.Writer, name, value string) error {
	if name == "" || strings.ContainsAny(name, "=<\r\n") {
		return fmt.Errorf("output name %q: want one without = < or a line end", name)
	}
	delimiter := "slipway_" + rand.Text()
	_, err := fmt.Fprintf(w, "%s<<%s\n%s\n%s\n", name, delimiter, value, delimiter)
	return err
}

// maxSummary is where a step summary is cut: GitHub drops the whole of one
// that is larger than 1,024 KiB.
const maxSummary = 900 << 10

// WriteSummary writes the step summary, cut at 900 KiB with a note that says
// so.
func WriteSummary(w io.Writer, markdown string) error {
	if len(markdown) > maxSummary {
		cut := markdown[:maxSummary]
		if i := strings.LastIndexByte(cut, '\n'); i >= 0 {
			cut = cut[:i]
		}
		cut = strings.ToValidUTF8(cut, "") // a rune may have been cut in two
		open := strings.Count(cut, "<details>") - strings.Count(cut, "</details>")
		markdown = cut + "\n" + strings.Repeat("\n</details>\n", max(0, open)) +
			"\n*cut at 900 KiB: GitHub drops summaries above 1,024; the job's log has the rest*\n"
	}
	_, err := io.WriteString(w, markdown)
	return err
}

func line(w io.Writer, text string) error {
	_, err := io.WriteString(w, text+"\n")
	return err
}

// escapeData escapes what a command's message may not hold.
func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

// escapeProperty escapes what a command's property may not hold.
func escapeProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
