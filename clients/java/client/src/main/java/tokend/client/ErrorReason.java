package tokend.client;

/** Why tokend rejected or failed a call: the values of the contract's {@code ErrorReason}, which documents each of them. */
public enum ErrorReason {
  /** A reason that this release of the client does not know. */
  UNKNOWN,
  /** Fields break their limits; {@link TokendException#violations()} returns all of them. */
  VALIDATION_FAILED,
  /** The pool cannot accept the well-formed request. */
  INVALID_PARAMETER,
  /** The logins do not give access to the identity, it is disabled, or a login token did not verify. */
  NOT_AUTHORIZED,
  /** The pool, the identity or the developer user does not exist. */
  RESOURCE_NOT_FOUND,
  /** A login is linked to another identity. */
  RESOURCE_CONFLICT,
  /** The developer user is registered under another identity id than the one given. */
  DEVELOPER_USER_ALREADY_REGISTERED,
  /** The identity would hold more linked logins than allowed. */
  LIMIT_EXCEEDED,
  /** Too many calls; {@link TokendException#retryDelay()} is the time to wait. */
  TOO_MANY_REQUESTS,
  /** A public login provider does not respond. */
  LOGIN_PROVIDER_UNAVAILABLE,
  /** The engine, its store or Cognito does not respond. */
  ENGINE_UNAVAILABLE,
  /** The service's own AWS credentials are missing or rejected. */
  ENGINE_CREDENTIALS_REJECTED,
  /** The caller is not authenticated. */
  CALLER_UNAUTHENTICATED,
  /** The service's policy does not allow the caller this call. */
  CALLER_NOT_ALLOWED,
  /** The pool's engine does not support this operation. */
  UNSUPPORTED_BY_ENGINE,
  /** A defect of the service; {@link TokendException#requestId()} identifies the call in its log. */
  INTERNAL,
  /** The call's metadata is larger than the service accepts. */
  METADATA_TOO_LARGE;

  static ErrorReason named(String name) {
    for (ErrorReason reason : values()) {
      if (reason.name().equals(name)) {
        return reason;
      }
    }
    return UNKNOWN;
  }
}
