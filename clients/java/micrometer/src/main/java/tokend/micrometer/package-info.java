/** Metrics of a tokend client in a Micrometer registry. */
@NullMarked
package tokend.micrometer;

import org.jspecify.annotations.NullMarked;
