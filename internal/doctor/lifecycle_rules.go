package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A repository's lifecycle policy, as ECR carries it out (ECR user guide:
// lifecycle policy evaluation rules).

// keptImages is how many images a lifecycle rule should keep: what serves, what
// it replaced, and some to go back to.
const keptImages = 20

// keptDays is how long an image should be kept at the least: an environment may
// rest for a while and still serve it.
const keptDays = 180

// What a lifecycle rule counts by, and what it does.
const (
	byCount       = "imageCountMoreThan"
	sincePushed   = "sinceImagePushed"
	sincePulled   = "sinceImagePulled"
	sinceArchived = "sinceImageTransitioned"
	transition    = "transition"
)

// lifecycleRule is what counts of a rule (ECR user guide: lifecycle policy
// properties).
type lifecycleRule struct {
	Priority  int    `json:"rulePriority"`
	About     string `json:"description"`
	Selection struct {
		TagStatus    string   `json:"tagStatus"`
		Prefixes     []string `json:"tagPrefixList"`
		Patterns     []string `json:"tagPatternList"`
		StorageClass string   `json:"storageClass"`
		CountType    string   `json:"countType"`
		Count        int      `json:"countNumber"`
		Unit         string   `json:"countUnit"`
	} `json:"selection"`
	Action struct {
		Type string `json:"type"`
	} `json:"action"`
}

// lifecycleRules reads a policy, the rule that is applied first at its head.
func lifecycleRules(text string) ([]lifecycleRule, error) {
	var policy struct {
		Rules []lifecycleRule `json:"rules"`
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return nil, err
	}
	for _, r := range policy.Rules {
		if !slices.Contains([]string{byCount, sincePushed, sincePulled, sinceArchived}, r.Selection.CountType) {
			return nil, fmt.Errorf("rule %d counts by %q, which is not known here", r.Priority, r.Selection.CountType)
		}
	}
	slices.SortStableFunc(policy.Rules, func(a, b lifecycleRule) int { return a.Priority - b.Priority })
	return policy.Rules, nil
}

// selects says whether an image meets what the rule asks of tags and storage:
// of several prefixes or patterns, each has to be met by one tag or another.
func (r lifecycleRule) selects(image StoredImage) bool {
	s := r.Selection
	if image.Archived != (s.StorageClass == "archive") {
		return false
	}
	switch s.TagStatus {
	case "any":
		return true
	case "untagged":
		return len(image.Tags) == 0
	}
	for _, prefix := range s.Prefixes {
		if !slices.ContainsFunc(image.Tags, func(tag string) bool { return strings.HasPrefix(tag, prefix) }) {
			return false
		}
	}
	for _, pattern := range s.Patterns {
		if !slices.ContainsFunc(image.Tags, func(tag string) bool { return wildcard(pattern, tag) }) {
			return false
		}
	}
	return len(s.Prefixes)+len(s.Patterns) > 0
}

// wildcard compares a tag with a pattern in which * stands for any characters.
func wildcard(pattern, tag string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	if !more {
		return pattern == tag
	}
	tag, ok := strings.CutPrefix(tag, first)
	for more && ok {
		var part string
		if part, rest, more = strings.Cut(rest, "*"); !more {
			return strings.HasSuffix(tag, part)
		}
		_, tag, ok = strings.Cut(tag, part)
	}
	return false
}

// since is the time that the rule measures an image's age from. What came out
// of the archive again begins anew.
func (r lifecycleRule) since(image StoredImage) time.Time {
	switch r.Selection.CountType {
	case sinceArchived:
		return image.Transitioned
	case sincePulled:
		if image.Pulled.After(image.Activated) {
			return image.Pulled
		}
	}
	if !image.Activated.IsZero() {
		return image.Activated
	}
	return image.Pushed
}

// order lists what the rule selects, the newest first.
func (r lifecycleRule) order(images []StoredImage) []StoredImage {
	var selected []StoredImage
	for _, image := range images {
		if r.selects(image) {
			selected = append(selected, image)
		}
	}
	slices.SortStableFunc(selected, func(a, b StoredImage) int {
		return cmp.Or(r.since(b).Compare(r.since(a)), strings.Compare(a.Digest, b.Digest))
	})
	return selected
}

// end is when an image's age makes the rule take it.
func (r lifecycleRule) end(image StoredImage) time.Time {
	return r.since(image).AddDate(0, 0, r.Selection.Count)
}

// marks lists what the rule takes where no other rule has a say.
func (r lifecycleRule) marks(images []StoredImage, now time.Time) []StoredImage {
	selected := r.order(images)
	if r.Selection.CountType == byCount {
		return selected[min(max(r.Selection.Count, 0), len(selected)):]
	}
	return slices.DeleteFunc(selected, func(image StoredImage) bool { return !now.After(r.end(image)) })
}

// responsible is the one rule that may take an image, -1 where none does: what
// meets the tags that a rule asks for can't be taken by a rule after it.
func responsible(rules []lifecycleRule, image StoredImage) int {
	return slices.IndexFunc(rules, func(r lifecycleRule) bool { return r.selects(image) })
}

// taken lists the digests that the next run of a policy takes. Every rule sees
// the whole repository, what rules before it take included. What an index that
// stays lists can't be taken: that is for the caller to know.
func taken(rules []lifecycleRule, images []StoredImage, now time.Time) map[string]bool {
	gone := map[string]bool{}
	for i, r := range rules {
		for _, image := range r.marks(images, now) {
			if responsible(rules, image) == i {
				gone[image.Digest] = true
			}
		}
	}
	return gone
}

// verb is what the rule does with what it takes.
func (r lifecycleRule) verb() string {
	if r.Action.Type == transition {
		return "archives"
	}
	return "deletes"
}

// describe says what a rule takes.
func (r lifecycleRule) describe() string {
	n := r.Selection.Count
	switch r.Selection.CountType {
	case byCount:
		if n == 1 {
			return "keeps the newest image alone"
		}
		return fmt.Sprintf("keeps the %d newest images alone", n)
	case sincePushed:
		return fmt.Sprintf("takes what was pushed more than %d days ago", n)
	case sincePulled:
		// A runtime's image may not be pulled for months while it serves.
		return fmt.Sprintf("takes what was not pulled for %d days", n)
	}
	return fmt.Sprintf("takes what was archived more than %d days ago", n)
}

// short says whether a rule keeps less than deliveries may need.
func (r lifecycleRule) short() bool {
	if r.Selection.CountType == byCount {
		return r.Selection.Count < keptImages
	}
	return r.Selection.Count < keptDays
}

// mayTakeRevisions says whether the rule may take an image of which nothing is
// known but that its tags are that of a commit and, maybe, latest.
func (r lifecycleRule) mayTakeRevisions() bool {
	s := r.Selection
	if s.TagStatus == "untagged" || s.StorageClass == "archive" {
		return false
	}
	foreign := func(pattern string) bool {
		return strings.Trim(pattern, "0123456789abcdef*") != "" && !wildcard(pattern, "latest")
	}
	prefixed := slices.ContainsFunc(s.Prefixes, func(prefix string) bool { return foreign(prefix + "*") })
	return !prefixed && !slices.ContainsFunc(s.Patterns, foreign)
}

// takesAllRevisions says whether the rule has the say over every such image.
func (r lifecycleRule) takesAllRevisions() bool {
	one, other := strings.Repeat("0", 40), strings.Repeat("f", 40)
	return r.selects(StoredImage{Tags: []string{one}}) && r.selects(StoredImage{Tags: []string{other}})
}

// ahead says how far off it is that the rule takes the first of what is wanted,
// and takes now says not.
func (r lifecycleRule) ahead(images []StoredImage, list []wanted) string {
	for i, image := range slices.Backward(r.order(images)) {
		switch {
		case !holds(list, image.Digest):
		case r.Selection.CountType != byCount:
			return "from " + r.end(image).UTC().Format(time.DateOnly) + " on it"
		case r.Selection.Count-i > 1:
			return fmt.Sprintf("after %d more images it", r.Selection.Count-i)
		default:
			return "after one more image it"
		}
	}
	return "some day it"
}

// enough is the least that the rule has to keep for what is wanted, and for the
// deliveries to come.
func (r lifecycleRule) enough(images []StoredImage, list []wanted) string {
	if r.Selection.CountType != byCount {
		return count(keptDays, "day")
	}
	enough := keptImages
	for i, image := range r.order(images) {
		if holds(list, image.Digest) {
			enough = max(enough, i+1)
		}
	}
	return count(enough, "image")
}
