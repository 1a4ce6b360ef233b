package trigger

import (
	"errors"
	"fmt"
	"slices"
)

// Filter is the patterns of one key, such as paths, in their order: the last
// that matches a name decides about it (GitHub docs: Workflow syntax,
// on.<push|pull_request|pull_request_target>.<paths|paths-ignore>).
type Filter []Pattern

// ParseFilter reads the patterns of a key.
func ParseFilter(lines []string) (Filter, error) {
	var f Filter
	var errs []error
	for _, line := range lines {
		p, err := ParsePattern(line)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f = append(f, p)
	}
	return f, errors.Join(errs...)
}

// Decide says whether a name is among those that the filter means, and which
// pattern says so: "" where none matches it.
func (f Filter) Decide(name string) (in bool, by string) {
	for i := len(f) - 1; i >= 0; i-- {
		if f[i].Match(name) {
			return !f[i].Negative(), f[i].String()
		}
	}
	return false, ""
}

// filterOf is the one filter of two keys that exclude each other.
type filterOf struct {
	key    string
	ignore bool
	Filter
}

// either reads NAME and NAME-ignore, of which an event can have one.
func either(name string, lines, ignored []string) (filterOf, error) {
	f := filterOf{key: name}
	switch {
	case len(lines) > 0 && len(ignored) > 0:
		return f, fmt.Errorf("%s and %s-ignore can't both be there", name, name)
	case len(ignored) > 0:
		f.key, f.ignore, lines = name+"-ignore", true, ignored
	case len(lines) == 0:
		return f, nil
	}
	var err error
	if f.Filter, err = ParseFilter(lines); err != nil {
		err = fmt.Errorf("%s: %w", f.key, err)
	}
	return f, err
}

func (f filterOf) set() bool { return f.Filter != nil }

// passes says whether a name starts the workflow, and why.
func (f filterOf) passes(name string) (bool, string) {
	in, by := f.Decide(name)
	switch {
	case !f.ignore && !slices.ContainsFunc(f.Filter, Pattern.positive):
		return false, f.key + " has patterns with ! alone, so nothing passes it"
	case by == "" && f.ignore:
		return true, fmt.Sprintf("no pattern of %s matches %s", f.key, name)
	case by == "":
		return false, fmt.Sprintf("no pattern of %s matches %s", f.key, name)
	case in && f.ignore:
		return false, fmt.Sprintf("%s: %s matches %s", f.key, by, name)
	case in:
		return true, fmt.Sprintf("%s: %s matches %s", f.key, by, name)
	case f.ignore:
		return true, fmt.Sprintf("%s: %s takes %s out again", f.key, by, name)
	default:
		return false, fmt.Sprintf("%s: %s excludes %s", f.key, by, name)
	}
}
