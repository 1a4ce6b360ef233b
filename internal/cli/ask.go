package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	mostTries  = 3
	mostAnswer = 4096 // bytes
)

// ask puts a question to the person at the terminal until the answer passes
// check, three times at most; an empty answer is the fallback. Callers look at
// asks first.
func (u *ui) ask(ctx context.Context, question, fallback string, check func(string) error) (string, error) {
	shown := ""
	if fallback != "" {
		shown = " [" + u.tame(fallback) + "]"
	}
	var refused error
	for range mostTries {
		fmt.Fprintf(u.err, "%s%s: ", question, shown)
		answer, err := until(ctx, func() (string, error) { return readLine(u.in) })
		if ctx.Err() != nil {
			fmt.Fprintln(u.err)
			return "", &delivery.Error{Kind: delivery.KindInterrupted, Err: errors.New("interrupted: nothing was written")}
		}
		if answer = strings.TrimSpace(answer); err != nil && (answer == "" || !errors.Is(err, io.EOF)) {
			return "", &delivery.Error{Kind: delivery.KindUsage, Op: question, Err: err}
		}
		if answer == "" {
			answer = fallback
		}
		if refused = check(answer); refused == nil {
			return answer, nil
		}
		fmt.Fprintf(u.err, "  %v\n", refused)
	}
	return "", &delivery.Error{Kind: delivery.KindUsage, Op: question, Err: refused}
}

// readLine reads a line and nothing after it, which the next question needs.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < mostAnswer; {
		n, err := r.Read(one)
		if n > 0 && one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[:n]...)
		if err != nil {
			return string(line), err
		}
	}
	return string(line), errors.New("the answer is too long")
}
