package trigger

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Input is an input of workflow_dispatch (GitHub docs: Workflow syntax,
// on.workflow_dispatch.inputs).
type Input struct {
	Name     string
	Type     string // string, boolean, number, choice or environment; "" is string
	Required bool
	Default  string
	Options  []string // of a choice
}

// Values are the inputs that a run gets: those that are given, the others with
// their defaults. The values are strings, of a boolean a bool, of a number a
// float64. Its error is what GitHub refuses, all of it: a name that there is
// not, no value for an input that has to have one, a value outside of its kind.
func Values(inputs []Input, given map[string]string) (map[string]any, error) {
	values := map[string]any{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		known := func(i Input) bool { return strings.EqualFold(i.Name, name) }
		if !slices.ContainsFunc(inputs, known) {
			errs = append(errs, fmt.Errorf("there is no input %s%s", name, among(inputs)))
		}
	}
	for _, i := range inputs {
		text := i.from(given)
		if text == "" && i.Required && i.Type != "boolean" {
			errs = append(errs, fmt.Errorf("the input %s has to be given%s", i.Name, oneOf(i.Options)))
			continue
		}
		value, err := i.value(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		values[i.Name] = value
	}
	return values, errors.Join(errs...)
}

// from is what was given for the input, or its default. Names of inputs have
// no case.
func (i Input) from(given map[string]string) string {
	for name, text := range given {
		if strings.EqualFold(name, i.Name) {
			return text
		}
	}
	return i.Default
}

func (i Input) value(text string) (any, error) {
	switch i.Type {
	case "boolean":
		if text == "" {
			return false, nil
		}
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("the input %s is %q; it can be true or false", i.Name, text)
		}
		return text == "true", nil
	case "number":
		if text == "" {
			return 0.0, nil
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, fmt.Errorf("the input %s is %q, which is no number", i.Name, text)
		}
		return n, nil
	case "choice":
		if text != "" && !slices.Contains(i.Options, text) {
			return nil, fmt.Errorf("the input %s is %q%s", i.Name, text, oneOf(i.Options))
		}
	}
	return text, nil
}

func oneOf(options []string) string {
	if len(options) == 0 {
		return ""
	}
	return "; it can be " + strings.Join(options, ", ")
}

func among(inputs []Input) string {
	names := make([]string, len(inputs))
	for i, input := range inputs {
		names[i] = input.Name
	}
	if len(names) == 0 {
		return ": it has none"
	}
	return "; there is " + strings.Join(names, ", ")
}
