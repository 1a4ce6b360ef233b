package sim

import (
	"encoding/json"
	"strings"
)

// Documents as ECR gives them back: it reads them and writes them anew (AWS CLI
// reference, the examples of get-repository-policy and get-lifecycle-policy).

// oneLine writes a document without white space.
func oneLine(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return "" // not of what was read from JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// printed writes a policy with each member of an object on a line of its own,
// and each list on one.
func printed(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return printedValue(d, "\n")
}

// printedValue writes the next value of a text that is known to be JSON; lines
// begin with indent.
func printedValue(d *json.Decoder, indent string) string {
	token, err := d.Token()
	if err != nil {
		return ""
	}
	var items []string
	switch token {
	case json.Delim('{'):
		for d.More() {
			name := printedValue(d, indent)
			items = append(items, indent+"  "+name+" : "+printedValue(d, indent+"  "))
		}
		return "{" + strings.Join(items, ",") + closing(d, indent, items) + "}"
	case json.Delim('['):
		for d.More() {
			items = append(items, " "+printedValue(d, indent))
		}
		return "[" + strings.Join(items, ",") + closing(d, " ", items) + "]"
	}
	return oneLine(token)
}

// closing reads what ends an object or a list, and is what stands before it:
// one that is empty takes no line.
func closing(d *json.Decoder, before string, items []string) string {
	_, _ = d.Token()
	if items == nil {
		return " "
	}
	return before
}
