package assume

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Media types of what is pushed.
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// missingDigest is the digest of nothing that was ever pushed.
const missingDigest = "sha256:00000000000000000000000000000000000000000000000000000000000000aa"

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// picture is a small image: its parts, before they are anywhere.
type picture struct {
	config, layer, manifest []byte
}

func (p picture) digest() string { return digestOf(p.manifest) }

// paint makes an image for a platform, of one file. salt makes its digest one
// of its own, and is its REVISION.
func paint(t T, arch, salt string, program []byte) picture {
	t.Helper()
	if program == nil {
		program = []byte(salt)
	}
	var tarred, layer bytes.Buffer
	w := tar.NewWriter(&tarred)
	if err := w.WriteHeader(&tar.Header{Name: "agent", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatalf("writing a layer: %v", err)
	}
	_, err := w.Write(program)
	if err == nil {
		err = w.Close()
	}
	zip := gzip.NewWriter(&layer)
	if err == nil {
		_, err = zip.Write(tarred.Bytes())
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		t.Fatalf("writing a layer: %v", err)
	}
	config := encode(t, map[string]any{"architecture": arch, "os": "linux", "author": salt,
		"config": map[string]any{"Entrypoint": []string{"/agent"}, "Env": []string{"REVISION=" + salt}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(tarred.Bytes())}}})
	p := picture{config: config, layer: layer.Bytes()}
	p.manifest = encode(t, map[string]any{"schemaVersion": 2, "mediaType": typeManifest,
		"config": part(typeConfig, p.config), "layers": []any{part(typeLayer, p.layer)}})
	return p
}

func part(mediaType string, content []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digestOf(content), "size": len(content)}
}

// repository makes a repository that lasts as long as the assumption. settings
// are further members of CreateRepository.
func (a *Account) repository(t T, settings map[string]any) string {
	t.Helper()
	name := a.name() + "/agent"
	in := map[string]any{"repositoryName": name}
	for member, value := range settings {
		in[member] = value
	}
	a.json11(t, "ecr", "CreateRepository", in).want(t, http.StatusOK)
	later(t, func(t T) {
		a.json11(t, "ecr", "DeleteRepository", map[string]any{"repositoryName": name, "force": true})
	})
	return name
}

// token asks for the registry's login: base64 of AWS:password.
func (a *Account) token(t T) string {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.login == "" || a.now().Sub(a.loggedIn) > 11*time.Hour {
		x := a.json11(t, "ecr", "GetAuthorizationToken", map[string]any{}).want(t, http.StatusOK)
		a.login, a.loggedIn = x.text("authorizationData.0.authorizationToken"), a.now()
	}
	return a.login
}

// registryHost is where the account's registry answers.
func (a *Account) registryHost(t T) string {
	t.Helper()
	if a.Endpoint != "" {
		return a.host("ecr")
	}
	return fmt.Sprintf("https://%s.dkr.ecr.%s.amazonaws.com", a.ID, a.Region)
}

// uploadBlob pushes a blob as docker does: POST, PATCH, PUT.
func (a *Account) uploadBlob(t T, repository string, blob []byte, digest string) answer {
	t.Helper()
	begun := a.docker(t, a.token(t), http.MethodPost, "/v2/"+repository+"/blobs/uploads/", nil, nil).want(t, http.StatusAccepted)
	sent := a.docker(t, a.token(t), http.MethodPatch, a.location(t, begun), blob, map[string]string{"Content-Type": "application/octet-stream"})
	if sent.status != http.StatusAccepted && sent.status != http.StatusCreated { // ECR answers 201
		t.Fatalf("sending a blob: %s", sent)
	}
	target := a.location(t, sent)
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return a.docker(t, a.token(t), http.MethodPut, target+separator+"digest="+digest, nil, nil)
}

// location is where an upload goes on.
func (a *Account) location(t T, x answer) string {
	t.Helper()
	where := x.header.Get("Location")
	if where == "" {
		t.Fatalf("no Location: %s", x)
	}
	return where
}

// uploadParts pushes what an image's manifest names.
func (a *Account) uploadParts(t T, repository string, p picture) {
	t.Helper()
	for _, blob := range [][]byte{p.config, p.layer} {
		a.uploadBlob(t, repository, blob, digestOf(blob)).want(t, http.StatusCreated)
	}
}

// putManifest pushes a manifest to a tag or digest.
func (a *Account) putManifest(t T, repository, reference, mediaType string, manifest []byte) answer {
	t.Helper()
	return a.docker(t, a.token(t), http.MethodPut, "/v2/"+repository+"/manifests/"+reference, manifest, map[string]string{"Content-Type": mediaType})
}

// push pushes an image whole and returns its digest.
func (a *Account) push(t T, repository, tag string, p picture) string {
	t.Helper()
	a.uploadParts(t, repository, p)
	a.putManifest(t, repository, tag, typeManifest, p.manifest).want(t, http.StatusCreated)
	return p.digest()
}

// putImage is ECR's own way to tag a manifest.
func (a *Account) putImage(t T, repository, tag string, manifest []byte, settings map[string]any) answer {
	t.Helper()
	in := map[string]any{"repositoryName": repository, "imageManifest": string(manifest)}
	if tag != "" {
		in["imageTag"] = tag
	}
	for member, value := range settings {
		in[member] = value
	}
	return a.json11(t, "ecr", "PutImage", in)
}

// uri of an image, as AgentCore wants it.
func (a *Account) uri(repository, suffix string) string {
	return fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/%s%s", a.ID, a.Region, repository, suffix)
}

// password is the login without its encoding.
func password(t T, login string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(login)
	if err != nil {
		t.Fatalf("a login that is no base64: %v", err)
	}
	_, secret, _ := strings.Cut(string(raw), ":")
	return secret
}

// index is an index of images, by platform.
func index(t T, children map[string]picture) []byte {
	t.Helper()
	list := []any{}
	for platform, child := range children {
		d := part(typeManifest, child.manifest)
		osName, arch, _ := strings.Cut(platform, "/")
		d["platform"] = map[string]string{"os": osName, "architecture": arch}
		list = append(list, d)
	}
	raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": list})
	if err != nil {
		t.Fatalf("encoding an index: %v", err)
	}
	return raw
}
