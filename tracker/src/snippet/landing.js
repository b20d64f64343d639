// The landing snippet: put it on every page of the advertiser's site.
//
//   <script async src="https://click.shop.example/landing.js" data-consent="granted"></script>
//
// It does nothing but this: on a page that was reached through an offer, it tells the tracker so, once, and takes the
// click id out of the address bar. With the visitor's consent it also keeps when this browser first saw the site, so
// that it can say whether the visitor is new; without, it stores nothing and does not say.
//
//   data-consent="granted"           the visitor agreed (or set window.staffettaConsent = true before the script)
//   data-param="click"               the parameter with the click id, if the landing URL names another
//
// A browser that sends Global Privacy Control has not agreed, whatever the page says.
(function () {
  "use strict";
  var script = document.currentScript;
  if (!script) return;
  // What the page was opened with; later changes of the address are the page's own.
  var url = new URL(location.href);
  var name = script.getAttribute("data-param") || "stf_click";
  var click = url.searchParams.get(name);
  var consent =
    (script.getAttribute("data-consent") === "granted" || window.staffettaConsent === true) &&
    !navigator.globalPrivacyControl;
  // Storage may be blocked or full: then nobody can say whether the visitor is new.
  function isNew() {
    var key = "staffetta_first_seen";
    try {
      var seen = localStorage.getItem(key);
      if (!seen) localStorage.setItem(key, new Date().toISOString());
      return seen ? "0" : "1";
    } catch (blocked) {
      return "";
    }
  }
  // Pages without a click are seen as well: who was here before is known.
  var answer = consent ? isNew() : "";
  if (!click) return;
  url.searchParams.delete(name);
  history.replaceState(history.state, "", url.pathname + url.search + url.hash);
  var body = "c=" + encodeURIComponent(click) + (answer && "&n=" + answer);
  var to = new URL("/l", script.src).href;
  // Either is a request that needs no preflight, and outlives the page.
  if (!(navigator.sendBeacon && navigator.sendBeacon(to, body))) {
    fetch(to, { method: "POST", body: body, mode: "no-cors", keepalive: true, credentials: "omit" }).catch(function () {});
  }
})();
