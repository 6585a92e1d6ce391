/** Counts what a tokend client does in a Micrometer registry. */
@NullMarked
package tokend.micrometer;

import org.jspecify.annotations.NullMarked;
