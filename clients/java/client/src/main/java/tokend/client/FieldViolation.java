package tokend.client;

/**
 * One field of a request that breaks its limit.
 *
 * @param field the path of the field in the request message, such as {@code identity_pool_id} or {@code logins.key}
 * @param description what the field must satisfy
 */
public record FieldViolation(String field, String description) {}
