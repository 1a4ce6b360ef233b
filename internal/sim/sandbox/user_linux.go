package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// user is who an agent runs as.
type user struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// findUser reads an image's USER: name or number, optionally with a group. It
// reads the sandbox's own /etc/passwd. Where ids aren't mapped, it is the
// sandbox's root, which is the cloud's user outside.
func findUser(spec string, mapped bool) (user, error) {
	if !mapped || spec == "" {
		return user{home: "/root"}, nil
	}
	name, group, hasGroup := strings.Cut(spec, ":")
	u, known := passwd(name)
	if !known {
		id, err := strconv.ParseUint(name, 10, 16)
		if err != nil {
			return user{}, fmt.Errorf("unable to find user %s: no matching entries in passwd file", name)
		}
		u = user{uid: uint32(id), home: "/"}
	}
	if hasGroup {
		id, err := groupID(group)
		if err != nil {
			return user{}, err
		}
		u.gid = id
	}
	return u, nil
}

// passwd finds a user by name or number in /etc/passwd.
func passwd(name string) (user, bool) {
	raw, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return user{}, false
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 6 || (f[0] != name && f[2] != name) {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 16)
		gid, err2 := strconv.ParseUint(f[3], 10, 16)
		if err1 == nil && err2 == nil {
			return user{uid: uint32(uid), gid: uint32(gid), home: f[5]}, true
		}
	}
	return user{}, false
}

func groupID(name string) (uint32, error) {
	raw, _ := os.ReadFile("/etc/group") // none: numbers only
	for line := range strings.Lines(string(raw)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 3 && f[0] == name {
			name = f[2]
			break
		}
	}
	id, err := strconv.ParseUint(name, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("unable to find group %s: no matching entries in group file", name)
	}
	return uint32(id), nil
}
