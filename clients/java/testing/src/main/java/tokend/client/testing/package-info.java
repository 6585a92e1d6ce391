/**
 * An in-process fake of tokend, for tests of code that uses the client: {@link tokend.client.testing.FakeTokendServer}.
 */
@NullMarked
package tokend.client.testing;

import org.jspecify.annotations.NullMarked;
