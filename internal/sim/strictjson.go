package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxTokenDepth bounds the nesting of a token's header and claims.
const maxTokenDepth = 16

// strictObject reads a JSON object as its token stream: names count by case,
// and one that is there twice is an error. (encoding/json would take SUB for
// sub, and the last of two.) Numbers stay json.Number.
func strictObject(raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	value, err := strictValue(d, 0)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is no JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its JSON object")
	}
	return object, nil
}

func strictValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxTokenDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxTokenDepth)
	}
	if delim == '[' {
		return strictArray(d, depth)
	}
	object := make(map[string]any)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("it is no JSON: %w", err)
		}
		key, _ := name.(string) // the decoder takes nothing else here
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("it states %q twice", key)
		}
		if object[key], err = strictValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err = d.Token() // the closing brace
	return object, err
}

func strictArray(d *json.Decoder, depth int) (any, error) {
	array := []any{}
	for d.More() {
		item, err := strictValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		array = append(array, item)
	}
	_, err := d.Token() // the closing bracket
	return array, err
}
