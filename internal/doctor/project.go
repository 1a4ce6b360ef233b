package doctor

import (
	"context"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Problem is a mistake in slipway.yaml.
type Problem struct {
	File, Message, Hint string
	Line                int
}

// Misconfigured is the report of a slipway.yaml with mistakes: without it
// there is nothing else to look at.
func Misconfigured(problems []Problem) Report {
	x := &examination{}
	for _, p := range problems {
		x.finding("doctor/config", p.Message, p.Hint).in(p.File).Line = p.Line
	}
	r := Report{Findings: x.found, Checks: []Check{}}
	for _, c := range checks() {
		done := Check{ID: c.id, Group: c.group, Status: Skipped, Detail: "slipway.yaml has mistakes"}
		if c.id == "settings" {
			done.Status, done.Detail, done.Worst = Found, summary(x.found), Error
		}
		r.Checks = append(r.Checks, done)
	}
	return r
}

// settings judges what slipway.yaml says; that it can be read was seen before.
func settings(_ context.Context, x *examination) (string, error) {
	p, t := x.Project, x.Target
	if p.Approvals && p.Endpoint == "" {
		x.finding("doctor/approvals-without-endpoint",
			t.Environment+" has approvals but no endpoint: DEFAULT moves with the update, so a new image serves before it is verified",
			"write endpoint: NAME for the environment, or endpoint: DEFAULT if that is meant").in(p.File)
	}
	switch t.Reference {
	case delivery.ByLatest:
		x.finding("doctor/moving-image-reference", "image_reference: latest names a moving tag: versions made with it can't be rolled back to",
			"remove image_reference: digest is the default").in(p.File)
	case delivery.ByTag:
		x.finding("doctor/moving-image-reference", "image_reference: tag holds only as long as the repository keeps tags from moving",
			"remove image_reference: digest is the default").in(p.File)
	}
	if !p.ToolPinned {
		x.finding("doctor/tool-unpinned", "slipway.yaml pins no Slipway for jobs to install",
			"write tool: {version: …, sha256: {linux/arm64: …}}").in(p.File)
	}
	if len(p.Unset) > 0 {
		return "slipway.yaml has no mistakes; not known here: " + strings.Join(p.Unset, ", "), nil
	}
	return "slipway.yaml has no mistakes", nil
}
