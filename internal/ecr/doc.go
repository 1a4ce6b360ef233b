// Package ecr asks ECR's API what the registry protocol does not say: the
// login, and what a repository is and holds; and makes a repository, which is an
// administrator's act.
//
// It refuses to move image bytes or tags (internal/registry does), to delete,
// and to change a repository that is there. The login is handed to its caller
// and kept nowhere.
package ecr
