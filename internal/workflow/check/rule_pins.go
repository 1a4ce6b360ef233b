package check

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/pattern"
)

var (
	fullSHA     = pattern.New(`^[0-9a-fA-F]{40}$`)
	imageDigest = pattern.New(`@sha256:[0-9a-f]{64}$`)
	versionWord = pattern.New(`(?:^|[\s=@/])v?(\d+(?:\.\d+)*)(?:\s|$)`)
)

// checkPins looks at what actions, workflows and images a job names.
func (j *job) checkPins() {
	if uses := j.node.get("uses"); uses.ok() {
		j.checkUses(uses)
		j.checkInherit(uses)
	}
	for _, s := range j.steps {
		if s.uses.ok() {
			j.checkUses(s.uses)
		}
	}
	container := j.node.get("container")
	if container.is(yaml.MappingNode) {
		container = container.get("image")
	}
	j.checkImage(container)
	for _, e := range j.node.get("services").entries() {
		j.checkImage(e.value.get("image"))
	}
	if image := j.node.get("image"); j.doc.action && strings.HasPrefix(image.text(), "docker://") {
		j.checkImage(image)
	}
}

func (j *job) checkUses(n node) {
	uses := n.text()
	if image, ok := strings.CutPrefix(uses, "docker://"); ok {
		if !imageDigest.MatchString(image) {
			j.doc.report("workflow/unpinned-image", n.place(), "image %s has no digest: what runs is what the tag names today", image)
		}
		return
	}
	if local(uses) || uses == "" {
		return
	}
	action, ref, _ := strings.Cut(uses, "@")
	if !fullSHA.MatchString(ref) {
		what := "names no version"
		switch {
		case pattern.New(`^[0-9a-f]{7,39}$`).MatchString(ref):
			what = "is pinned to a short SHA, which is no pin"
		case ref != "":
			what = "follows " + ref + ", which can be moved to other code"
		}
		j.doc.report("workflow/unpinned-action", n.place(), "%s %s", action, what)
		return
	}
	j.checkPinComment(n, strings.ToLower(action), strings.ToLower(ref))
}

// checkPinComment compares a commit with the version that the comment beside
// it names. Which commits there are is not looked up.
func (j *job) checkPinComment(n node, action, sha string) {
	version := commentVersion(j.doc.comment(n))
	if version == "" {
		return
	}
	if noCommit(sha) {
		j.doc.report("workflow/pin-comment", n.place(), "%s is no commit, so it is not version %s of %s", sha, version, action)
		return
	}
	if j.doc.options.Pins == nil {
		return
	}
	if pinned, known := j.doc.options.Pins(action, sha); known && !covers(version, pinned) {
		j.doc.report("workflow/pin-comment", n.place(), "the commit is version %s of %s, the comment says %s", strings.TrimPrefix(pinned, "v"), action, version)
	}
}

// comment is what stands after # on a scalar's line.
func (d *document) comment(n node) string {
	if n.Line > len(d.lines) {
		return ""
	}
	line := d.lines[n.Line-1]
	line = line[byteOf(line, n.Column):]
	if i := strings.Index(line, " #"); i >= 0 {
		return line[i+2:]
	}
	return ""
}

func commentVersion(comment string) string {
	if m := versionWord.FindStringSubmatch(comment); m != nil {
		return m[1]
	}
	return ""
}

// covers says whether the version of a comment covers that of a commit: 6
// covers 6.0.2, and 6.0 does, but 6.1 does not.
func covers(comment, version string) bool {
	version = strings.TrimPrefix(version, "v")
	return version == comment || strings.HasPrefix(version, comment+".")
}

// noCommit says whether a SHA can't be a commit: somebody made it up, so that
// it repeats itself, or it is git's own empty tree or empty file.
func noCommit(sha string) bool {
	for period := 1; period <= len(sha)/2; period++ {
		if sha[period:] == sha[:len(sha)-period] {
			return true
		}
	}
	return sha == "4b825dc642cb6eb9a060e54bf8d69288fbee4904" || sha == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
}

// checkImage looks at the image of a container. Values of the matrix are
// looked at where they stand.
func (j *job) checkImage(n node) {
	image := n.text()
	if image == "" || imageDigest.MatchString(image) {
		return
	}
	if e := expressions(image); len(e) == 1 && e[0].raw == strings.TrimSpace(image) {
		if p := pathOf(e[0].tree); p.nth(0) == "matrix" && len(p) == 2 {
			if values := j.matrix(p.nth(1)); len(values) > 0 && len(expressions(values[0].text())) == 0 {
				for _, v := range values {
					j.checkImage(v)
				}
				return
			}
		}
	}
	j.doc.report("workflow/unpinned-image", n.place(), "image %s has no digest: what runs is what the tag names today", image)
}

func (j *job) checkInherit(uses node) {
	if secrets := j.node.at("secrets"); secrets.value.text() == "inherit" && !local(uses.text()) {
		repository, _, _ := strings.Cut(uses.text(), "/.github/")
		j.doc.report("workflow/secrets-inherit", secrets.value.place(), "every secret of this repository goes to a workflow of %s", repository)
	}
}
