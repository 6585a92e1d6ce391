// The STS of SeaweedFS alone, on a free port of the loopback: who verifies a token here knows nothing of tokend.
//
// It fetches the issuer's discovery document and keys, and checks signature, issuer, audience and dates of a token, and
// the trust policy of the role. What is here is its HTTP face: SeaweedFS's own comes with all of its storage.
package main

import (
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/seaweedfs/seaweedfs/weed/iam/integration"
	"github.com/seaweedfs/seaweedfs/weed/iam/oidc"
	"github.com/seaweedfs/seaweedfs/weed/iam/policy"
	"github.com/seaweedfs/seaweedfs/weed/iam/sts"
)

const provider = "tokend"

func main() {
	issuer := flag.String("issuer", "", "URL of the issuer")
	audience := flag.String("audience", "", "the audience that tokens must have")
	role := flag.String("role", "", "name of the role that tokens may assume")
	caFile := flag.String("ca-file", "", "PEM of the authority of an issuer with https, as an absolute path")
	flag.Parse()
	manager, err := newManager(*issuer, *audience, *role, *caFile)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, &face{manager}))
}

func newManager(issuer, audience, role, caFile string) (*integration.IAMManager, error) {
	manager := integration.NewIAMManager()
	err := manager.Initialize(&integration.IAMConfig{
		STS: &sts.STSConfig{
			TokenDuration:    sts.FlexibleDuration{Duration: time.Hour},
			MaxSessionLength: sts.FlexibleDuration{Duration: 12 * time.Hour},
			Issuer:           "sts",
			SigningKey:       []byte("signs sessions of tests, nothing else"),
		},
		Policy: &policy.PolicyEngineConfig{DefaultEffect: "Deny", StoreType: "memory"},
		Roles:  &integration.RoleStoreConfig{StoreType: "memory"},
	}, func() string { return "" })
	if err != nil {
		return nil, err
	}
	verifier := oidc.NewOIDCProvider(provider)
	config := &oidc.OIDCConfig{Issuer: issuer, ClientID: audience, TLSCACert: caFile, JWKSCacheTTLSeconds: 1}
	if err := verifier.Initialize(config); err != nil {
		return nil, err
	}
	if err := manager.RegisterIdentityProvider(verifier); err != nil {
		return nil, err
	}
	return manager, manager.CreateRole(context.Background(), "", role, &integration.RoleDefinition{
		RoleName: role,
		TrustPolicy: &policy.PolicyDocument{
			Version: "2012-10-17",
			Statement: []policy.Statement{{
				Effect:    "Allow",
				Principal: map[string]any{"Federated": provider},
				Action:    []string{"sts:AssumeRoleWithWebIdentity"},
			}},
		},
	})
}

// face speaks AWS's Query protocol, as far as AssumeRoleWithWebIdentity goes.
type face struct{ manager *integration.IAMManager }

type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type answer struct {
	XMLName     xml.Name    `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	Credentials credentials `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	Subject     string      `xml:"AssumeRoleWithWebIdentityResult>SubjectFromWebIdentityToken"`
	Audience    string      `xml:"AssumeRoleWithWebIdentityResult>Audience,omitempty"`
	Arn         string      `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>Arn"`
	RoleID      string      `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>AssumedRoleId"`
}

type refusal struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("Action") != "AssumeRoleWithWebIdentity" {
		write(w, http.StatusBadRequest, refusal{Type: "Sender", Code: "InvalidAction", Message: r.FormValue("Action")})
		return
	}
	request := &sts.AssumeRoleWithWebIdentityRequest{
		RoleArn:          r.FormValue("RoleArn"),
		RoleSessionName:  r.FormValue("RoleSessionName"),
		WebIdentityToken: r.FormValue("WebIdentityToken"),
	}
	if seconds, err := strconv.ParseInt(r.FormValue("DurationSeconds"), 10, 64); err == nil {
		request.DurationSeconds = &seconds
	}
	given, err := f.manager.AssumeRoleWithWebIdentity(r.Context(), request)
	if err != nil {
		write(w, http.StatusBadRequest, refusal{Type: "Sender", Code: code(err), Message: err.Error()})
		return
	}
	write(w, http.StatusOK, answer{
		Credentials: credentials{
			AccessKeyID:     given.Credentials.AccessKeyId,
			SecretAccessKey: given.Credentials.SecretAccessKey,
			SessionToken:    given.Credentials.SessionToken,
			Expiration:      given.Credentials.Expiration.UTC().Format(time.RFC3339),
		},
		Subject: given.AssumedRoleUser.Subject,
		Arn:     given.AssumedRoleUser.Arn,
		RoleID:  given.AssumedRoleUser.AssumedRoleId,
	})
}

// code is AWS's for an error of SeaweedFS (API reference of AssumeRoleWithWebIdentity).
func code(err error) string {
	for known, name := range map[error]string{
		sts.ErrTypedTokenExpired:    "ExpiredTokenException",
		sts.ErrTypedInvalidToken:    "InvalidIdentityToken",
		sts.ErrTypedInvalidIssuer:   "InvalidIdentityToken",
		sts.ErrTypedInvalidAudience: "InvalidIdentityToken",
		sts.ErrTypedMissingClaims:   "InvalidIdentityToken",
	} {
		if errors.Is(err, known) {
			return name
		}
	}
	return "AccessDenied"
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	if err := xml.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}
