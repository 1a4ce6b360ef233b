package pattern

import "testing"

func TestPattern(t *testing.T) {
	p := New(`^a(b+)$`)
	if !p.MatchString("abb") || p.MatchString("a") || p.FindStringSubmatch("abb")[1] != "bb" {
		t.Error("it does not match as regexp does")
	}
	bad := New(`(`) // nobody has asked for it yet
	defer func() {
		if recover() == nil {
			t.Error("what is no expression matches something")
		}
	}()
	bad.MatchString("")
}
