package tokend.spring;

import tokend.client.ClientBuilder;

/**
 * Customizes the builder of the client. Customizers run after the properties are applied, in the order of the beans.
 */
@FunctionalInterface
public interface ClientBuilderCustomizer {
  /**
   * Customizes the builder.
   *
   * @param builder the builder, with all properties applied
   */
  void customize(ClientBuilder builder);
}
