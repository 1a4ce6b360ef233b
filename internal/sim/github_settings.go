package sim

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// githubSettings are what jobs read: variables and secrets, by name in upper
// case. An environment has its own, within its record; a repository's are the
// record github/settings/<full name>.
type githubSettings struct {
	Variables map[string]githubVariable `json:"variables,omitempty"`
	Secrets   map[string]githubSecret   `json:"secrets,omitempty"`
}

type githubVariable struct {
	Name    string    `json:"name"`
	Value   string    `json:"value"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// githubSecret keeps what was sealed, as it was sealed: nobody reads it back.
type githubSecret struct {
	Name    string    `json:"name"`
	Sealed  string    `json:"sealed"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

const (
	settingsRecord = "github/settings/"
	mostValue      = 48 << 10 // bytes of a variable's or a secret's value
)

// settings are the ones that a call is about.
func (k *githubCall) settings() (githubSettings, error) {
	if _, ok := k.names["environment_name"]; ok {
		e, err := k.environment()
		return e.githubSettings, err
	}
	var s githubSettings
	k.cloud.store.get(settingsRecord+strings.ToLower(k.repo.FullName()), &s)
	return s, nil
}

// changeSettings applies change to them.
func (k *githubCall) changeSettings(change func(*githubSettings) error) error {
	if _, ok := k.names["environment_name"]; ok {
		return k.changeEnvironment(func(e *githubEnvironment) error { return change(&e.githubSettings) })
	}
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	s, err := k.settings()
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	return k.cloud.store.put(settingsRecord+strings.ToLower(k.repo.FullName()), s)
}

// settingName is what variables and secrets may be called (GitHub docs:
// naming conventions for configuration variables). They have no case.
var settingName = pattern.New(`^[A-Z_][A-Z0-9_]*$`)

func checkSetting(name, value string) (string, error) {
	name = strings.ToUpper(name)
	if !settingName.MatchString(name) || strings.HasPrefix(name, "GITHUB_") {
		return "", githubFault(http.StatusUnprocessableEntity, "Variable or secret names can only contain alphanumeric characters ([a-z], [A-Z], [0-9]) or underscores (_). Spaces are not allowed. Must start with a letter ([a-z], [A-Z]) or underscores (_), and not with GITHUB_")
	}
	if len(value) > mostValue {
		return "", githubFault(http.StatusUnprocessableEntity, "%s is larger than %d bytes", name, mostValue)
	}
	return name, nil
}

func (v githubVariable) view() map[string]any {
	return map[string]any{"name": v.Name, "value": v.Value, "created_at": v.Created.Format(time.RFC3339), "updated_at": v.Updated.Format(time.RFC3339)}
}

// setting is a variable or a secret, as GitHub shows it.
type setting interface{ view() map[string]any }

// listed answers all of them, by name, in pages of most.
func listed[T setting](k *githubCall, of func(githubSettings) map[string]T, what string, most int) (int, any, error) {
	s, err := k.settings()
	if err != nil {
		return 0, nil, err
	}
	all := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(of(s))) {
		all = append(all, of(s)[name].view())
	}
	return http.StatusOK, paged(k, all, most, counted(what)), nil
}

// shown answers the one that a call names by a path parameter.
func shown[T setting](k *githubCall, of func(githubSettings) map[string]T, parameter string) (int, any, error) {
	s, err := k.settings()
	if err != nil {
		return 0, nil, err
	}
	one, ok := of(s)[strings.ToUpper(k.names[parameter])]
	if !ok {
		return 0, nil, githubFault(http.StatusNotFound, "Not Found")
	}
	return http.StatusOK, one.view(), nil
}

// dropped deletes the one that a call names by a path parameter.
func dropped[T setting](k *githubCall, of func(githubSettings) map[string]T, parameter string) (int, any, error) {
	return http.StatusNoContent, nil, k.changeSettings(func(s *githubSettings) error {
		name := strings.ToUpper(k.names[parameter])
		if _, ok := of(*s)[name]; !ok {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		delete(of(*s), name)
		return nil
	})
}

func variables(s githubSettings) map[string]githubVariable { return s.Variables }
func secrets(s githubSettings) map[string]githubSecret     { return s.Secrets }

func listVariables(k *githubCall) (int, any, error) {
	return listed(k, variables, "variables", mostVariablePage)
}
func getVariable(k *githubCall) (int, any, error)    { return shown(k, variables, "name") }
func deleteVariable(k *githubCall) (int, any, error) { return dropped(k, variables, "name") }
func listSecrets(k *githubCall) (int, any, error)    { return listed(k, secrets, "secrets", mostPerPage) }
func getSecret(k *githubCall) (int, any, error)      { return shown(k, secrets, "secret_name") }
func deleteSecret(k *githubCall) (int, any, error)   { return dropped(k, secrets, "secret_name") }

type variableInput struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

func createVariable(k *githubCall) (int, any, error) {
	var in variableInput
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.Value == nil {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n\"value\" wasn't supplied.")
	}
	name, err := checkSetting(in.Name, *in.Value)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, struct{}{}, k.changeSettings(func(s *githubSettings) error {
		if _, ok := s.Variables[name]; ok {
			return githubFault(http.StatusConflict, "Already exists - Variable already exists")
		}
		if s.Variables == nil {
			s.Variables = map[string]githubVariable{}
		}
		s.Variables[name] = githubVariable{name, *in.Value, k.at, k.at}
		return nil
	})
}

func updateVariable(k *githubCall) (int, any, error) {
	var in variableInput
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, k.changeSettings(func(s *githubSettings) error {
		v, ok := s.Variables[strings.ToUpper(k.names["name"])]
		if !ok {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		if in.Value == nil {
			return nil
		}
		if _, err := checkSetting(v.Name, *in.Value); err != nil {
			return err
		}
		v.Value, v.Updated = *in.Value, k.at
		s.Variables[v.Name] = v
		return nil
	})
}

func (s githubSecret) view() map[string]any {
	return map[string]any{"name": s.Name, "created_at": s.Created.Format(time.RFC3339), "updated_at": s.Updated.Format(time.RFC3339)}
}

// sealKey is the key that secrets are sealed to. Record: github/seal.
type sealKey struct {
	ID      string `json:"id"`
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
}

const sealRecord = "github/seal"

func (c *Cloud) sealKey() (sealKey, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	var key sealKey
	if c.store.get(sealRecord, &key) {
		return key, nil
	}
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return key, err
	}
	key = sealKey{ID: derivedID(base64.StdEncoding.EncodeToString(public[:])), Public: public[:], Private: private[:]}
	return key, c.store.put(sealRecord, key)
}

func getPublicKey(k *githubCall) (int, any, error) {
	if _, err := k.settings(); err != nil {
		return 0, nil, err
	}
	key, err := k.cloud.sealKey()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"key_id": key.ID, "key": base64.StdEncoding.EncodeToString(key.Public)}, nil
}

// putSecret takes a value that was sealed to our key (libsodium's sealed
// boxes), and looks whether it can be opened.
func putSecret(k *githubCall) (int, any, error) {
	var in struct {
		Sealed string `json:"encrypted_value"`
		KeyID  string `json:"key_id"`
	}
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	key, err := k.cloud.sealKey()
	if err != nil {
		return 0, nil, err
	}
	if in.KeyID != key.ID {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "The key_id does not match the public key's: fetch it again")
	}
	value, err := key.open(in.Sealed)
	if err != nil {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "encrypted_value %v", err)
	}
	name, err := checkSetting(k.names["secret_name"], value)
	if err != nil {
		return 0, nil, err
	}
	status := http.StatusCreated
	err = k.changeSettings(func(s *githubSettings) error {
		secret, ok := s.Secrets[name]
		if ok {
			status = http.StatusNoContent
		} else {
			secret = githubSecret{Name: name, Created: k.at}
		}
		secret.Sealed, secret.Updated = in.Sealed, k.at
		if s.Secrets == nil {
			s.Secrets = map[string]githubSecret{}
		}
		s.Secrets[name] = secret
		return nil
	})
	if status == http.StatusNoContent {
		return status, nil, err
	}
	return status, struct{}{}, err
}

func (s sealKey) open(sealed string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(s.Public) != 32 || len(s.Private) != 32 {
		return "", errors.New("is not base64")
	}
	value, ok := box.OpenAnonymous(nil, raw, (*[32]byte)(s.Public), (*[32]byte)(s.Private))
	if !ok {
		return "", errors.New("is not sealed to the public key")
	}
	return string(value), nil
}
