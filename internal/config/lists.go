package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// splitList reads a list in any of the forms that people paste: separated by
// commas, spaces or lines, or a JSON array of strings. Items are trimmed;
// empty and repeated ones are dropped.
func splitList(text string) ([]string, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "[") {
		return compactList(strings.FieldsFunc(text, isSeparator)), nil
	}
	var items []string
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		return nil, errors.New("begins with [ but is not a JSON array of strings")
	}
	var all []string
	for _, item := range items {
		all = append(all, strings.FieldsFunc(item, isSeparator)...)
	}
	return compactList(all), nil
}

func isSeparator(c rune) bool { return c == ',' || unicode.IsSpace(c) }

// compactList drops repeated items and keeps the order.
func compactList(items []string) []string {
	var out []string
	for _, item := range items {
		if !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// idLimit is how many subnets or security groups AgentCore takes (facts 1.4).
const idLimit = 16

// checkIDs says what is wrong with a list of AWS ids, "" if nothing is.
func checkIDs(ids []string, r rule) string {
	if len(ids) < 1 || len(ids) > idLimit {
		return fmt.Sprintf("must hold 1 to %d ids, not %d", idLimit, len(ids))
	}
	for _, id := range ids {
		if !r.ok(id) {
			return fmt.Sprintf("holds %s; each id must be %s", quote(id), r.want)
		}
	}
	return ""
}
