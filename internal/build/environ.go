package build

import (
	"slices"
	"strings"
)

// What children may have of the caller's environment. These are lists of what
// is needed rather than of what is secret: a credential that nobody thought of
// does not get through.

// passed lists what git and go may have. GO* is spelled out because GOOGLE_*
// begins like it.
func passed() []string {
	return slices.Concat(common(), []string{
		// Go's own settings; what decides about the result is set by the engine.
		"GO111MODULE", "GOAUTH", "GOBIN", "GOCACHE", "GOCACHEPROG", "GODEBUG", "GOENV", "GOEXPERIMENT", "GOFIPS140",
		"GOFLAGS", "GOGC", "GOINSECURE", "GOMAXPROCS", "GOMEMLIMIT", "GOMODCACHE", "GONOPROXY", "GONOSUMDB",
		"GOPATH", "GOPRIVATE", "GOPROXY", "GOROOT", "GOSUMDB", "GOTOOLCHAIN", "GOVCS", "GOWORK",
		// Git's: configuration and transport. Not where its repository is,
		// which a hook sets and which would override the directory.
		"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_*", "GIT_CONFIG_VALUE_*",
		"GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_EXEC_PATH",
	})
}

// common lists what every program needs: where things are, and how to reach
// the network.
func common() []string {
	return []string{
		"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TMP", "TEMP", "LANG", "LANGUAGE", "TZ", "XDG_*",
		// Windows does not start programs without these.
		"SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "NETRC",
	}
}

// containers lists what docker and buildctl may have: which daemon, and where
// its clients keep contexts, builders and logins to registries. Not
// DOCKER_AUTH_CONFIG, which is a login itself.
func containers() []string {
	return slices.Concat(common(), []string{
		"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY",
		"DOCKER_API_VERSION",
		"BUILDX_BUILDER", "BUILDX_CONFIG", "BUILDKIT_HOST",
		"KUBECONFIG", // a builder may be a pod
	})
}

// environ returns what children get: what names lists of offered, then own. A
// name may end in *.
func environ(offered, names []string, own ...string) []string {
	exact, prefixes := map[string]bool{}, []string{}
	for _, name := range names {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			prefixes = append(prefixes, prefix)
		}
		exact[name] = true
	}
	var env []string
	for _, pair := range offered {
		name, _, _ := strings.Cut(pair, "=")
		ok := exact[name]
		for _, prefix := range prefixes {
			ok = ok || strings.HasPrefix(name, prefix)
		}
		if ok {
			env = append(env, pair)
		}
	}
	return append(env, own...)
}
