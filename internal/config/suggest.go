package config

import (
	"slices"
	"strings"
)

// Suggest returns the option that word was probably meant to be, or "".
func Suggest(word string, options []string) string {
	if len(word) > 64 {
		return ""
	}
	plain := normal(word)
	best, bestDistance := "", len(plain)/3+1
	for _, option := range options {
		if d := distance(plain, normal(option)); d < bestDistance || d == 0 {
			best, bestDistance = option, d
		}
	}
	return best
}

// didYouMean is a hint: the probable word, else all that there are.
func didYouMean(word string, options []string) string {
	if s := Suggest(word, options); s != "" {
		return "did you mean " + s + "?"
	}
	return "there are " + join(options, "and")
}

// join lists words for a message: a, b and c.
func join(words []string, last string) string {
	n := len(words)
	if n < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n-1], ", ") + " " + last + " " + words[n-1]
}

// normal makes environmentVariables, environment-variables and
// environment_variables the same.
func normal(word string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c == ' ' {
			return -1
		}
		return c
	}, strings.ToLower(word))
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
