package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// maxTags is the quota of tags of a resource, in IAM and in ECR.
const maxTags = 50

// tagText is what keys and values consist of (IAM API reference, Tag).
var tagText = pattern.New(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// sameKey says whether two tags of a resource have one key. Roles do not tell
// upper from lower case, all other resources do (IAM user guide, "Tags for IAM
// resources").
type sameKey func(one, other string) bool

func exactly(one, other string) bool { return one == other }

// readTags reads Tags.member.N.Key and .Value.
func readTags(form url.Values, same sameKey) ([]tag, error) {
	var tags []tag
	var wrong constraints
	for i := 1; ; i++ {
		name := "Tags.member." + strconv.Itoa(i)
		if !form.Has(name + ".Key") {
			break
		}
		t := tag{Key: form.Get(name + ".Key"), Value: form.Get(name + ".Value")}
		t.check(&wrong, "tags."+strconv.Itoa(i)+".member")
		tags = append(tags, t)
	}
	if len(tags) > maxTags {
		wrong.add("Value '[%d tags]' at 'tags' failed to satisfy constraint: Member must have length less than or equal to %d", len(tags), maxTags)
	}
	if err := wrong.fault(); err != nil {
		return nil, err
	}
	return tags, checkKeys(tags, same)
}

func (t tag) check(wrong *constraints, name string) {
	wrong.length(name+".key", t.Key, 1, 128)
	wrong.pattern(name+".key", t.Key, tagText, `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
	wrong.length(name+".value", t.Value, 0, 256)
	wrong.pattern(name+".value", t.Value, tagText, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
}

// checkKeys refuses a key that is there twice, and those that are AWS's.
func checkKeys(tags []tag, same sameKey) error {
	for i, t := range tags {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return faultf(http.StatusBadRequest, "InvalidInput", "The tag key %s begins with aws:, which AWS keeps for itself.", t.Key)
		}
		if slices.ContainsFunc(tags[:i], func(o tag) bool { return same(o.Key, t.Key) }) {
			return faultf(http.StatusBadRequest, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
	}
	return nil
}

// retagged lays tags over others. One that has the key of another takes its
// place, with the key as it writes it.
func retagged(old, added []tag, same sameKey) ([]tag, error) {
	tags := slices.DeleteFunc(slices.Clone(old), func(o tag) bool {
		return slices.ContainsFunc(added, func(t tag) bool { return same(o.Key, t.Key) })
	})
	tags = append(tags, added...)
	if len(tags) > maxTags {
		return nil, faultf(http.StatusConflict, "LimitExceeded", "The number of tags has reached the maximum limit.")
	}
	return tags, nil
}

func (c *Cloud) tagRole(k *call) (any, error) {
	added, err := readTags(k.form, strings.EqualFold)
	if err != nil {
		return nil, err
	}
	return c.editRole(k, func(r *role) error {
		r.Tags, err = retagged(r.Tags, added, strings.EqualFold)
		return err
	})
}

func (c *Cloud) untagRole(k *call) (any, error) {
	gone := readList(k.form, "TagKeys")
	return c.editRole(k, func(r *role) error {
		r.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t tag) bool {
			return slices.ContainsFunc(gone, func(key string) bool { return strings.EqualFold(key, t.Key) })
		})
		return nil
	})
}

func (c *Cloud) listRoleTags(k *call) (any, error) {
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	tags := slices.SortedFunc(slices.Values(r.Tags), func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	page, marker, err := paginate(k.form, tags, func(t tag) string { return t.Key })
	if err != nil {
		return nil, err
	}
	return struct {
		Tags        xmlList[tag]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}{xmlList[tag]{page}, marker != "", marker}, nil
}

func (c *Cloud) tagProvider(k *call) (any, error) {
	added, err := readTags(k.form, exactly)
	if err != nil {
		return nil, err
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.providerOf(k)
	if err != nil {
		return nil, err
	}
	if p.Tags, err = retagged(p.Tags, added, exactly); err != nil {
		return nil, err
	}
	return nil, c.store.put(providerKey(p.Account, p.URL), p)
}
