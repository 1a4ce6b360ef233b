package cli

import (
	"fmt"
	"strings"

	"golang.org/x/term"
)

// screen is a terminal that shows one frame after the other in place. It uses
// the terminal's second buffer, so that what stood there before comes back.
type screen struct {
	ui   *ui
	size func() (width, height int) // 0, 0 where it can't be told
	open bool
}

func newScreen(u *ui, stream any) *screen {
	return &screen{ui: u, size: func() (int, int) {
		f, ok := stream.(interface{ Fd() uintptr })
		if !ok {
			return 0, 0
		}
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0
		}
		return width, height
	}}
}

// The terminal's words for what a screen does.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the second buffer, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h\x1b[H" // show nothing of it before its end; from the upper left
	endLine     = "\x1b[K"            // what is left of the line before goes
	endFrame    = "\x1b[J\x1b[?2026l" // what is left below goes
)

// draw shows a frame. Each line is written over the one before it, in one
// write: nothing is blank in between. What does not fit is cut, and said so.
func (s *screen) draw(lines []string) {
	width, height := s.size()
	if height > 1 && len(lines) > height {
		left := len(lines) - height + 1
		lines = append(lines[:height-1:height-1], fmt.Sprintf("… %d more lines", left))
	}
	var b strings.Builder
	if !s.open {
		b.WriteString(enterScreen)
		s.open = true
	}
	b.WriteString(beginFrame)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(fitted(line, width) + endLine)
	}
	b.WriteString(endFrame)
	s.ui.raw([]byte(b.String()))
}

// close gives the terminal back as it was.
func (s *screen) close() {
	if s.open {
		s.open = false
		s.ui.raw([]byte(leaveScreen))
	}
}

// wrapped breaks a text into lines of a width, 0 for any.
func wrapped(text string, width int) []string {
	var lines []string
	rest := []rune(text)
	for width > 0 && len(rest) > width {
		lines, rest = append(lines, string(rest[:width])), rest[width:]
	}
	return append(lines, string(rest))
}

// fitted cuts a line to a width, 0 for any.
func fitted(line string, width int) string {
	text := []rune(line)
	if width < 1 || len(text) <= width {
		return line
	}
	return string(text[:width-1]) + "…"
}
