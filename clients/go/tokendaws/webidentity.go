// Package tokendaws exchanges tokend's tokens for AWS credentials with the AWS STS operation AssumeRoleWithWebIdentity.
// It is a separate module, so that the client does not depend on the AWS SDK.
package tokendaws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	tokend "tokend.internal/go"
)

// providerName is the source of the credentials, as the SDK reports it.
const providerName = "tokend"

// rejections are the error codes with which STS rejects a token, by its API reference.
var rejections = []string{
	(&types.InvalidIdentityTokenException{}).ErrorCode(),
	(&types.ExpiredTokenException{}).ErrorCode(),
	(&types.IDPRejectedClaimException{}).ErrorCode(), // also for a token that has expired or was revoked
}

// STS is the part of [sts.Client] that a [WebIdentityProvider] uses.
type STS interface {
	AssumeRoleWithWebIdentity(
		ctx context.Context, input *sts.AssumeRoleWithWebIdentityInput, opts ...func(*sts.Options),
	) (*sts.AssumeRoleWithWebIdentityOutput, error)
}

// WebIdentityProvider is an [aws.CredentialsProvider] that assumes a role with a source's token.
type WebIdentityProvider struct {
	client STS
	source tokend.TokenSource
	input  sts.AssumeRoleWithWebIdentityInput
}

// NewWebIdentityProvider returns a provider of credentials for a role, for use in an [aws.CredentialsCache]. The role
// roleARN must trust an IAM OpenID Connect provider for tokend's issuer URL with the pool id as its client id.
// sessionName identifies the session in CloudTrail. Options change other parameters of the STS request, such as
// DurationSeconds.
//
// The operation is not signed: the client needs a region but no credentials. A credentials cache is for one user: do
// not pass a [tokend.SourceFunc].
func NewWebIdentityProvider(
	client STS, source tokend.TokenSource, roleARN, sessionName string, opts ...func(*sts.AssumeRoleWithWebIdentityInput),
) *WebIdentityProvider {
	input := sts.AssumeRoleWithWebIdentityInput{RoleArn: &roleARN, RoleSessionName: &sessionName}
	for _, opt := range opts {
		opt(&input)
	}
	return &WebIdentityProvider{client, source, input}
}

// Retrieve implements [aws.CredentialsProvider]. When STS rejects the token and the source is a [tokend.Invalidator],
// it drops the token and retries once with a new one.
//
// It fails with the error of STS or, if there is no token, with that of the source; if there is no new token after a
// rejection, with both. [errors.As] finds the [*tokend.Error].
func (p *WebIdentityProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	token, err := p.token(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	credentials, err := p.exchange(ctx, token)
	invalidator, ok := p.source.(tokend.Invalidator)
	if !ok || !rejects(err) {
		return credentials, err
	}
	invalidator.Invalidate(token)
	next, failed := p.token(ctx)
	if failed != nil {
		return aws.Credentials{}, errors.Join(failed, err)
	}
	return p.exchange(ctx, next)
}

func (p *WebIdentityProvider) token(ctx context.Context) (tokend.Token, error) {
	token, err := p.source.Token(ctx)
	if err != nil {
		return tokend.Token{}, fmt.Errorf("no token for AWS: %w", err)
	}
	return token, nil
}

func (p *WebIdentityProvider) exchange(ctx context.Context, token tokend.Token) (aws.Credentials, error) {
	input := p.input
	input.WebIdentityToken = aws.String(token.Value.Reveal())
	output, err := p.client.AssumeRoleWithWebIdentity(ctx, &input)
	if err != nil {
		return aws.Credentials{}, err
	}
	got := output.Credentials
	if got == nil {
		return aws.Credentials{}, errors.New("AWS STS returned no credentials")
	}
	return aws.Credentials{
		AccessKeyID:     aws.ToString(got.AccessKeyId),
		SecretAccessKey: aws.ToString(got.SecretAccessKey),
		SessionToken:    aws.ToString(got.SessionToken),
		Source:          providerName,
		CanExpire:       true,
		Expires:         aws.ToTime(got.Expiration),
		AccountID:       accountOf(output.AssumedRoleUser),
	}, nil
}

// accountOf returns the account of a role, which is part of the endpoints of some services; empty if it is not known.
func accountOf(user *types.AssumedRoleUser) string {
	if user == nil {
		return ""
	}
	name, err := arn.Parse(aws.ToString(user.Arn))
	if err != nil {
		return ""
	}
	return name.AccountID
}

func rejects(err error) bool {
	var failed smithy.APIError
	return errors.As(err, &failed) && slices.Contains(rejections, failed.ErrorCode())
}
