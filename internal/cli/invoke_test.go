package cli

import (
	"bytes"
	"testing"
)

// TestAnswerWriter: a pipe gets the agent's bytes as they come, a terminal its
// lines without what could move the cursor; either ends with its line.
func TestAnswerWriter(t *testing.T) {
	for name, test := range map[string]struct {
		terminal bool
		parts    []string
		want     string
	}{
		"pipe":              {false, []string{"a\x1b[2J", "b\nc"}, "a\x1b[2Jb\nc\n"},
		"pipe, ended":       {false, []string{"a\n"}, "a\n"},
		"pipe, nothing":     {false, nil, ""},
		"terminal":          {true, []string{"a\x1b[2J", "b\nc"}, "a[2Jb\nc\n"},
		"terminal, ended":   {true, []string{"data: x\n\n"}, "data: x\n\n"},
		"terminal, split é": {true, []string{"\xc3", "\xa9"}, "é\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			w := &answerWriter{ui: &ui{out: &out, err: &out}, terminal: test.terminal}
			for _, p := range test.parts {
				if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
			}
			w.end()
			if out.String() != test.want {
				t.Errorf("%q, want %q", out.String(), test.want)
			}
		})
	}
}
