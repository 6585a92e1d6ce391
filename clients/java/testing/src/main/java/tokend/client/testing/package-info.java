/**
 * A tokend within the process, for tests of what uses the client: {@link tokend.client.testing.FakeTokendServer}.
 */
@NullMarked
package tokend.client.testing;

import org.jspecify.annotations.NullMarked;
