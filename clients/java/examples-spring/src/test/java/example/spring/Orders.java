package example.spring;

import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClient;
import org.springframework.web.servlet.support.ServletUriComponentsBuilder;
import tokend.spring.JwtIdentityConverter;
import tokend.verifier.Identity;

@RestController
class Orders {
  private final JwtIdentityConverter identities = new JwtIdentityConverter();
  private final RestClient stock;

  Orders(RestClient stock) {
    this.stock = stock;
  }

  @GetMapping("/orders")
  String orders(@AuthenticationPrincipal Jwt caller) {
    Identity identity = identities.convert(caller);
    return identity.identityId() + " of " + identity.principalTags().get("team") + "; stock for " + stock();
  }

  private String stock() {
    var uri = ServletUriComponentsBuilder.fromCurrentContextPath().path("/stock").build().toUri();
    return String.valueOf(stock.get().uri(uri).retrieve().body(String.class));
  }

  @GetMapping("/stock")
  String stock(@AuthenticationPrincipal Jwt caller) {
    return caller.getSubject();
  }
}
