package sim

import (
	"encoding/json"
	"reflect"
	"strings"
)

// exact is json.Unmarshal by exact names: AWS knows upper from lower case, and
// encoding/json does not. Members that v does not know are ignored.
func exact(raw []byte, v any) error {
	return json.Unmarshal(prune(raw, reflect.TypeOf(v)), v)
}

// prune takes out of raw what a type has no member for. What is not of the
// type stays, for json.Unmarshal to refuse.
func prune(raw json.RawMessage, t reflect.Type) json.RawMessage {
	switch t.Kind() {
	case reflect.Pointer:
		return prune(raw, t.Elem())
	case reflect.Slice:
		var items []json.RawMessage
		if !holdsStruct(t.Elem()) || json.Unmarshal(raw, &items) != nil || items == nil {
			return raw
		}
		for i := range items {
			items[i] = prune(items[i], t.Elem())
		}
		return rawOf(items)
	case reflect.Struct:
		var object document
		if json.Unmarshal(raw, &object) != nil || object == nil {
			return raw
		}
		kept := document{}
		keepMembers(kept, object, t)
		return rawOf(kept)
	default:
		return raw
	}
}

func holdsStruct(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// keepMembers copies the members that a structure names.
func keepMembers(kept, object document, t reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && tag == "" {
			keepMembers(kept, object, field.Type)
			continue
		}
		name := or(tag, field.Name)
		if raw, ok := object[name]; ok {
			kept[name] = prune(raw, field.Type)
		}
	}
}
