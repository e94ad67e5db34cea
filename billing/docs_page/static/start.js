// Kept out of the page, so that the page needs no inline script.
window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "/schema/openapi.json",
    dom_id: "#api",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null,
  });
};
