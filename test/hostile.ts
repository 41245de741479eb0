/** Texts of passages, queries and names that would break a page, or act in it, if they came through as they are. */
export const HOSTILE = [
  '<script>document.title = "owned"</script>',
  '"><img src=x onerror="document.title=`owned`">',
  "'); alert(1); //",
  '</style><style>main{display:none}</style>',
  '\u202egnp.exe \u2066مرحبا بالعالم\u2069 שלום',
  '👩‍👩‍👧‍👦 🇩🇪 \ud800 \u0000 \u0007',
  'x'.repeat(100_000),
];
