# For tools that look for this file (node-gyp rebuild, npm rebuild): the addon is described in CMakeLists.txt and
# compiled by cmake-js, which lib/setup finds a libtorch for.
{
  'targets': [
    {
      'target_name': 'listwise',
      'type': 'none',
      'actions': [
        {
          'action_name': 'cmake-js',
          'inputs': [],
          # Never made, so that the action always runs; lib/setup knows whether there is anything to compile.
          'outputs': ['build/compiled-by-cmake-js'],
          'action': ['node', 'lib/setup/main.js', '--addon', '--no-download'],
        },
      ],
    },
  ],
}
